//! Infers the template of a URL path: `/users/7` becomes `/users/{id}`.
//!
//! An endpoint needs a name with few values, and a path as it was sent has none. Two rules make one:
//!
//! 1. **By shape.** A segment that looks like an identifier (a number, a UUID, a digest, a token, a
//!    date) is one, whatever came before. This needs no memory and so no order. See [`segment`].
//! 2. **By number.** Where many different names stand in one place and most of them come once, that
//!    place is a parameter (`/tags/blue`). This is learnt, for each service by itself and within
//!    fixed bounds, so the first names are told apart until there are too many. See [`tree`].
//!
//! A path that the server does not know (status 404 and the like) teaches nothing: a scanner does not
//! wear out the names of a service.

mod routes;
pub mod segment;
pub mod tree;

pub use routes::{MAX_SERVICES, Outcome, Routes};
