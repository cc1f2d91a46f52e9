//! The paths of one service, as a tree of segments.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::segment::{PLACEHOLDER, Shape, shape};

/// Different names in one place from which on it is a parameter if most of them came but once. Few
/// interfaces have as many siblings.
pub const MAX_NAMES: usize = 64;

/// Different names in one place from which on it is a parameter however often they came.
pub const MAX_NAMES_EVER: usize = 512;

/// A name that came so often, and has its share of the place, stays a name when the place becomes a
/// parameter: `/users/me` beside `/users/{id}`.
const OFTEN: u32 = 16;

/// Segments kept for a service: 4,096 names of 24 bytes are some 500 KiB. Beyond them a new name is
/// a parameter.
pub const MAX_NODES: usize = 4_096;

/// Segments of a template. What comes behind them is one more placeholder: deep paths are files.
pub const MAX_SEGMENTS: usize = 12;

/// A longer name is a parameter: nobody names an endpoint with a hundred characters.
pub const MAX_NAME_BYTES: usize = 100;

/// Stands for the rest of a path with more than [`MAX_SEGMENTS`] segments.
pub const REST: &str = "{rest}";

/// What is known of the paths of a service.
#[derive(Debug, Default)]
pub struct Tree {
    root: Node,
    nodes: usize,
}

/// A place in a path: what may come next.
#[derive(Debug, Default)]
struct Node {
    names: HashMap<Box<str>, Node>,
    parameter: Option<Box<Node>>,
    /// A name that is not among `names` is the parameter.
    collapsed: bool,
    /// Paths that came to here.
    hits: u32,
}

impl Tree {
    /// The template of `path`, a path that the service has answered: it becomes known.
    ///
    /// `None` for what is no path, such as the `*` of `OPTIONS`.
    pub fn learn(&mut self, path: &str) -> Option<String> {
        let mut template = String::with_capacity(path.len());
        let mut node = Some(&mut self.root);
        for segment in Segments::new(path)? {
            template.push('/');
            let text = segment.text();
            let Some(here) = node else {
                // The tree is full: what is not told by shape alone is a parameter.
                template.push_str(if segment.is_rest() { REST } else { PLACEHOLDER });
                continue;
            };
            here.hits = here.hits.saturating_add(1);
            let text = if here.has_name(&text, &mut self.nodes) {
                text
            } else {
                Cow::Borrowed(if segment.is_rest() { REST } else { PLACEHOLDER })
            };
            template.push_str(&text);
            node = here.next(&text, &mut self.nodes);
        }
        if let Some(last) = node {
            last.hits = last.hits.saturating_add(1);
        }
        Some(template)
    }

    /// The template of `path` if paths like it are known already.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<String> {
        let mut template = String::with_capacity(path.len());
        let mut node = &self.root;
        for segment in Segments::new(path)? {
            template.push('/');
            let text = segment.text();
            if let Some(next) = node.names.get(&*text) {
                template.push_str(&text);
                node = next;
            } else {
                let is_parameter = node.collapsed || *text == *PLACEHOLDER || segment.is_rest();
                node = node.parameter.as_deref().filter(|_| is_parameter)?;
                template.push_str(if segment.is_rest() { REST } else { PLACEHOLDER });
            }
        }
        Some(template)
    }
}

impl Node {
    /// Whether `text` is a name here; a new one becomes one if there is room.
    fn has_name(&mut self, text: &str, nodes: &mut usize) -> bool {
        if text == PLACEHOLDER || text == REST {
            return false;
        }
        if self.names.contains_key(text) {
            return true;
        }
        if self.collapsed || *nodes >= MAX_NODES {
            return false;
        }
        let once = self.names.values().filter(|name| name.hits <= 1).count();
        if self.names.len() >= MAX_NAMES_EVER
            || (self.names.len() >= MAX_NAMES && once.saturating_mul(2) >= self.names.len())
        {
            self.collapse(nodes);
            return false;
        }
        self.names.insert(text.into(), Self::default());
        *nodes = nodes.saturating_add(1);
        true
    }

    /// Where `text` leads: a name that [`Node::has_name`], or the parameter. `None` when there is no
    /// room for one.
    fn next(&mut self, text: &str, nodes: &mut usize) -> Option<&mut Self> {
        if self.names.contains_key(text) {
            return self.names.get_mut(text);
        }
        if self.parameter.is_none() {
            if *nodes >= MAX_NODES {
                return None;
            }
            *nodes = nodes.saturating_add(1);
        }
        Some(self.parameter.get_or_insert_default())
    }

    /// Makes this place a parameter: the names that are not used often become one.
    fn collapse(&mut self, nodes: &mut usize) {
        self.collapsed = true;
        let share = self
            .hits
            .checked_div(u32::try_from(self.names.len()).unwrap_or(u32::MAX))
            .unwrap_or(0);
        let often = share.max(OFTEN);
        let (stay, go) = std::mem::take(&mut self.names)
            .into_iter()
            .partition(|(_, name)| name.hits >= often);
        self.names = stay;
        let go: HashMap<Box<str>, Self> = go;
        for name in go.into_values() {
            match &mut self.parameter {
                Some(parameter) => parameter.merge(name, nodes),
                None => self.parameter = Some(Box::new(name)),
            }
        }
    }

    /// Takes in what is known of another place. As deep as a template at the most.
    fn merge(&mut self, other: Self, nodes: &mut usize) {
        *nodes = nodes.saturating_sub(1);
        self.hits = self.hits.saturating_add(other.hits);
        self.collapsed |= other.collapsed;
        for (text, name) in other.names {
            match self.names.get_mut(&text) {
                Some(known) => known.merge(name, nodes),
                None => {
                    self.names.insert(text, name);
                }
            }
        }
        match (&mut self.parameter, other.parameter) {
            (Some(known), Some(new)) => known.merge(*new, nodes),
            (None, new) => self.parameter = new,
            (Some(_), None) => {}
        }
    }
}

/// A segment of a path, or all that comes behind [`MAX_SEGMENTS`] of them.
#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    One(&'a str),
    Rest,
}

impl<'a> Segment<'a> {
    /// How it would stand in a template, were every name one.
    fn text(self) -> Cow<'a, str> {
        match self {
            Self::Rest => REST.into(),
            Self::One(long) if long.len() > MAX_NAME_BYTES => PLACEHOLDER.into(),
            Self::One(segment) => match shape(segment) {
                Shape::Name => segment.into(),
                Shape::Identifier => PLACEHOLDER.into(),
                Shape::File(extension) => format!("{PLACEHOLDER}.{extension}").into(),
            },
        }
    }

    const fn is_rest(self) -> bool {
        matches!(self, Self::Rest)
    }
}

#[derive(Debug)]
struct Segments<'a> {
    left: Option<&'a str>,
    count: usize,
}

impl<'a> Segments<'a> {
    fn new(path: &'a str) -> Option<Self> {
        path.strip_prefix('/').map(|left| Self {
            left: Some(left),
            count: 0,
        })
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.left.take()?;
        if self.count >= MAX_SEGMENTS {
            return Some(Segment::Rest);
        }
        self.count = self.count.saturating_add(1);
        Some(Segment::One(match left.split_once('/') {
            Some((segment, rest)) => {
                self.left = Some(rest);
                segment
            }
            None => left,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(tree: &mut Tree, path: &str) -> String {
        tree.learn(path).unwrap()
    }

    fn count(node: &Node) -> usize {
        let names: usize = node.names.values().map(count).sum();
        1 + names + node.parameter.as_deref().map_or(0, count)
    }

    #[test]
    fn identifiers_are_placeholders_from_the_first_path_on() {
        let mut tree = Tree::default();
        for (path, template) in [
            ("/", "/"),
            ("/users/7", "/users/{id}"),
            ("/users/7/orders/", "/users/{id}/orders/"),
            ("/img/4711.png", "/img/{id}.png"),
            ("//a", "//a"),
            (
                "/1/2/3/4/5/6/7/8/9/10/11/12/13/14",
                "/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{rest}",
            ),
        ] {
            assert_eq!(learn(&mut tree, path), template);
            assert_eq!(tree.find(path).as_deref(), Some(template));
        }
        assert_eq!(tree.learn("*"), None);
        assert_eq!(tree.learn(""), None);
    }

    #[test]
    fn many_names_that_come_once_are_a_parameter_and_busy_ones_stay() {
        let mut tree = Tree::default();
        for _ in 0..100 {
            learn(&mut tree, "/tags/popular/posts");
        }
        for letter in 'a'..='z' {
            for other in ['a', 'b', 'c'] {
                learn(&mut tree, &format!("/tags/{letter}{other}/posts"));
            }
        }
        assert_eq!(learn(&mut tree, "/tags/new/posts"), "/tags/{id}/posts");
        assert_eq!(learn(&mut tree, "/tags/aa/posts"), "/tags/{id}/posts");
        assert_eq!(
            learn(&mut tree, "/tags/popular/posts"),
            "/tags/popular/posts"
        );
        assert_eq!(count(&tree.root), tree.nodes + 1);
    }

    #[test]
    fn many_names_that_come_often_are_endpoints() {
        let mut tree = Tree::default();
        let names: Vec<String> = ('a'..='z')
            .flat_map(|a| ['x', 'y', 'z', 'w'].map(|b| format!("/api/{a}{b}")))
            .collect();
        for _ in 0..3 {
            for name in &names[..60] {
                learn(&mut tree, name);
            }
        }
        for name in &names {
            for _ in 0..3 {
                assert_eq!(learn(&mut tree, name), *name);
            }
        }
    }

    #[test]
    fn the_set_of_paths_decides_not_their_order() {
        let mut paths: Vec<String> = (0..40).map(|n| format!("/n/{}", name(n))).collect();
        paths.extend((0..300).map(|n| format!("/many/{}", name(n))));
        let mut other = paths.clone();
        other.reverse();
        let [one, two] = [paths, other].map(|order| {
            let mut tree = Tree::default();
            for path in order.iter().chain(&order) {
                learn(&mut tree, path);
            }
            let mut templates: Vec<String> = order.iter().map(|p| learn(&mut tree, p)).collect();
            templates.sort();
            templates.dedup();
            templates
        });
        assert_eq!(one, two);
        assert_eq!(one.len(), 41);
    }

    /// A name without digits.
    fn name(mut number: usize) -> String {
        let mut name = String::from("x");
        while number > 0 {
            name.push(char::from(b'a' + (number % 26) as u8));
            number /= 26;
        }
        name
    }

    #[test]
    fn memory_and_templates_are_bounded_whatever_comes() {
        let mut tree = Tree::default();
        let mut templates = std::collections::HashSet::new();
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..50_000 {
            let depth = 1 + random(16);
            let path: String = (0..depth)
                .map(|_| format!("/{}", name(random(1 << 20) as usize)))
                .collect();
            templates.insert(learn(&mut tree, &path));
        }
        assert!(tree.nodes <= MAX_NODES, "{}", tree.nodes);
        assert_eq!(count(&tree.root), tree.nodes + 1);
        assert!(templates.len() < 10_000, "{}", templates.len());
        let long = format!("/{}", "x".repeat(1 << 16));
        assert_eq!(learn(&mut Tree::default(), &long), "/{id}");
    }
}
