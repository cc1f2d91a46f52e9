//! Host of sandboxed parsers.
