//! Reads the values of a few top-level keys out of YAML, and so of JSON, which is a part of it.
//!
//! The parser is a crate; here its events become a small tree in which an alias is the node that it names, not a copy,
//! so that no file grows in memory. What a value means is for the caller. Pure, and bounded in depth.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Maximum depth of nested lists and mappings; kubelet's own configuration has four.
const DEPTH_MAX: usize = 64;
/// Maximum number of mappings that are looked at for one key.
const MERGES_MAX: usize = 1_000;

/// The key by which a mapping takes over the entries of another one (YAML 1.1, "merge").
const MERGE: &str = "<<";

/// Why a file or a value in it is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotUnderstood {
    /// It is no YAML.
    #[error("not YAML: {0}")]
    Syntax(String),
    /// Lists in lists without end.
    #[error("nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// The file is something else than a mapping.
    #[error("not a mapping of keys to values")]
    NoMapping,
    /// A value is neither text nor a list of texts.
    #[error("{0} is neither a value nor a list of values")]
    Form(String),
}

/// A file's content: its documents, in order.
#[derive(Debug)]
pub(crate) struct Document {
    documents: Vec<Rc<Node>>,
}

#[derive(Debug)]
enum Node {
    Null,
    Text(String),
    List(Vec<Rc<Self>>),
    Mapping(Vec<(Rc<Self>, Rc<Self>)>),
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// Where any of it cannot be understood: then nothing in it can be trusted.
    pub(crate) fn read(text: &str) -> Result<Self, NotUnderstood> {
        let mut builder = Builder::default();
        for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
            let (event, _) = event.map_err(|error| NotUnderstood::Syntax(error.to_string()))?;
            builder.take(event)?;
        }
        let documents = builder.documents;
        if documents.iter().any(|node| !matches!(**node, Node::Mapping(_) | Node::Null)) {
            return Err(NotUnderstood::NoMapping);
        }
        Ok(Self { documents })
    }

    /// Returns the texts under a top-level key of the first document that has it: one for a scalar, all of a list, none
    /// where the key is not there or has no value.
    ///
    /// # Errors
    /// Where the value has another form.
    pub(crate) fn list(&self, key: &str) -> Result<Vec<String>, NotUnderstood> {
        let mut budget = MERGES_MAX;
        let Some(value) = self.documents.iter().find_map(|document| value_of(document, key, &mut budget)) else {
            return Ok(Vec::new());
        };
        let form = || NotUnderstood::Form(key.to_owned());
        match &**value {
            Node::Null => Ok(Vec::new()),
            Node::Text(text) => Ok(vec![text.clone()]),
            Node::Mapping(_) => Err(form()),
            Node::List(items) => {
                let mut texts = Vec::new();
                for item in items {
                    match &**item {
                        Node::Null => {}
                        Node::Text(text) => texts.push(text.clone()),
                        Node::List(_) | Node::Mapping(_) => return Err(form()),
                    }
                }
                Ok(texts)
            }
        }
    }
}

/// Returns a mapping's value: of a key given twice the last one, of merged mappings the first that has it. `budget` is
/// how many merged mappings may still be looked at, since aliases can name the same ones over and over.
fn value_of<'a>(node: &'a Node, key: &str, budget: &mut usize) -> Option<&'a Rc<Node>> {
    let Node::Mapping(entries) = node else { return None };
    *budget = budget.checked_sub(1)?;
    let value = |wanted: &str| {
        let named = |name: &Node| matches!(name, Node::Text(name) if name == wanted);
        entries.iter().rev().find(|(name, _)| named(name)).map(|(_, value)| value)
    };
    value(key).or_else(|| match &**value(MERGE)? {
        Node::List(several) => several.iter().find_map(|one| value_of(one, key, budget)),
        merged => value_of(merged, key, budget),
    })
}

/// Puts the tree together.
#[derive(Debug, Default)]
struct Builder {
    documents: Vec<Rc<Node>>,
    open: Vec<Open>,
    /// Nodes that an alias may name, with their depths: aliases of aliases nest without any bracket.
    anchors: HashMap<usize, (Rc<Node>, usize)>,
}

/// A list or mapping whose end has not come.
#[derive(Debug)]
struct Open {
    anchor: usize,
    nodes: Vec<Rc<Node>>,
    /// Depth of the deepest of `nodes`.
    depth: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), NotUnderstood> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // `!!str null` is the text.
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let is_null = is_plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                self.close(anchor, if is_null { Node::Null } else { Node::Text(text.into_owned()) }, 0)
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                if self.open.len() >= DEPTH_MAX {
                    return Err(NotUnderstood::TooDeep);
                }
                self.open.push(Open { anchor, nodes: Vec::new(), depth: 0 });
                Ok(())
            }
            Event::SequenceEnd => match self.open.pop() {
                Some(Open { anchor, nodes, depth }) => self.close(anchor, Node::List(nodes), depth + 1),
                None => Ok(()),
            },
            Event::MappingEnd => match self.open.pop() {
                Some(Open { anchor, nodes, depth }) => self.close(anchor, Node::Mapping(pairs(nodes)), depth + 1),
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some((node, depth)) => self.place(node, depth),
                None => Err(NotUnderstood::Syntax("an alias within what it names".to_owned())),
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn close(&mut self, anchor: usize, node: Node, depth: usize) -> Result<(), NotUnderstood> {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, (Rc::clone(&node), depth));
        }
        self.place(node, depth)
    }

    fn place(&mut self, node: Rc<Node>, depth: usize) -> Result<(), NotUnderstood> {
        if depth > DEPTH_MAX {
            return Err(NotUnderstood::TooDeep);
        }
        match self.open.last_mut() {
            Some(open) => {
                open.nodes.push(node);
                open.depth = open.depth.max(depth);
            }
            None => self.documents.push(node),
        }
        Ok(())
    }
}

/// Keys and values, which come in turn.
fn pairs(nodes: Vec<Rc<Node>>) -> Vec<(Rc<Node>, Rc<Node>)> {
    let mut nodes = nodes.into_iter();
    let mut pairs = Vec::with_capacity(nodes.len() / 2);
    while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
        pairs.push((key, value));
    }
    pairs
}
