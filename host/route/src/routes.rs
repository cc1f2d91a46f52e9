//! The trees of all services.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::tree::Tree;

/// Services whose paths are remembered. The one that was not asked for longest is forgotten.
pub const MAX_SERVICES: usize = 256;

/// What the server made of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It knew the path.
    Known,
    /// It did not, or nobody can tell: nothing is learnt from it.
    Unknown,
}

impl Outcome {
    /// By the status of a response (RFC 9110 §15). What is often answered before a resource was looked
    /// for (redirects of a whole site, authentication, limits) tells nothing of the path.
    #[must_use]
    pub const fn of_status(status: Option<i64>) -> Self {
        match status {
            None
            | Some(301 | 308 | 400 | 401 | 403..=405 | 407 | 410 | 414 | 421 | 429 | 431 | 501) => {
                Self::Unknown
            }
            Some(_) => Self::Known,
        }
    }
}

/// Infers templates, for all threads.
#[derive(Debug, Default)]
pub struct Routes {
    services: Mutex<Services>,
}

#[derive(Debug, Default)]
struct Services {
    trees: HashMap<Box<str>, Used>,
    clock: u64,
}

#[derive(Debug, Default)]
struct Used {
    tree: Tree,
    last: u64,
}

impl Routes {
    /// The template of a path of `service`. `None` where there is none that is known to be right: for
    /// what is no path, and for unknown paths that are like none before.
    #[must_use]
    pub fn template(&self, service: &str, path: &str, outcome: Outcome) -> Option<String> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.clock = services.clock.saturating_add(1);
        let clock = services.clock;
        if let Some(used) = services.trees.get_mut(service) {
            used.last = clock;
            return match outcome {
                Outcome::Known => used.tree.learn(path),
                Outcome::Unknown => used.tree.find(path),
            };
        }
        if outcome == Outcome::Unknown {
            return None;
        }
        let mut used = Used {
            last: clock,
            ..Used::default()
        };
        let template = used.tree.learn(path)?;
        services.forget_oldest();
        services.trees.insert(service.into(), used);
        Some(template)
    }
}

impl Services {
    fn forget_oldest(&mut self) {
        if self.trees.len() < MAX_SERVICES {
            return;
        }
        let oldest = self
            .trees
            .iter()
            .min_by_key(|(_, used)| used.last)
            .map(|(service, _)| service.clone());
        if let Some(service) = oldest {
            self.trees.remove(&service);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_does_not_know_teaches_nothing() {
        let routes = Routes::default();
        let ask = |path, status| routes.template("shop", path, Outcome::of_status(Some(status)));
        assert_eq!(ask("/wp-admin/setup.php", 404), None);
        assert_eq!(ask("/users/7", 404), None);
        assert_eq!(ask("/users/7", 200).as_deref(), Some("/users/{id}"));
        assert_eq!(ask("/users/8", 404).as_deref(), Some("/users/{id}"));
        assert_eq!(ask("/users/8/edit", 404), None);
    }

    #[test]
    fn services_are_apart_and_bounded() {
        let routes = Routes::default();
        for number in 0..1_000 {
            let service = number.to_string();
            let template = routes.template(&service, "/a", Outcome::Known);
            assert_eq!(template.as_deref(), Some("/a"));
            assert!(routes.template("first", "/a", Outcome::Known).is_some());
        }
        let find = |service| routes.template(service, "/a", Outcome::Unknown);
        assert!(find("first").is_some());
        assert!(find("999").is_some());
        assert!(find("5").is_none());
        assert!(routes.services.lock().unwrap().trees.len() <= MAX_SERVICES);
    }
}
