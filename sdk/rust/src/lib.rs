//! Write a protocol parser for Wirespan.
