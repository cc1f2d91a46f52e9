//! HTTP/1.x parser.
