//! Spans as a live table.
