//! Reads the values of a few top-level keys out of YAML, or of JSON, which is nearly a part of it.
//!
//! No YAML reader: it knows plain and quoted scalars, lists in both styles and comments, and passes over the rest. That
//! is what kubelet's and k3s' files have under the keys that are asked for; anchors and block scalars are not read.

/// A file's content.
pub(super) struct Document<'a> {
    text: &'a str,
    json: Option<serde_json::Value>,
}

impl<'a> Document<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let json = text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten();
        Self { text, json }
    }

    /// The scalars under a top-level key: one for a scalar, all for a list, none where the key is not there.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        if let Some(json) = &self.json {
            return match json.get(key) {
                Some(serde_json::Value::Array(values)) => {
                    values.iter().filter_map(|value| value.as_str()).map(str::to_owned).collect()
                }
                Some(serde_json::Value::String(value)) => vec![value.clone()],
                _ => Vec::new(),
            };
        }
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if let Some(rest) = value_of(line, key) {
                return values(rest, lines);
            }
        }
        Vec::new()
    }
}

/// What follows `key:` at the beginning of a line; the key may be quoted.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let unquoted = line.strip_prefix(['"', '\'']).unwrap_or(line);
    let rest = unquoted.strip_prefix(key)?;
    let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start().strip_prefix(':')?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| without_comment(rest))
}

fn values<'a>(first: &str, lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    if let Some(open) = first.strip_prefix('[') {
        // A list in brackets may go on over lines.
        let mut whole = open.to_owned();
        for line in lines {
            if whole.contains(']') {
                break;
            }
            whole.push(' ');
            whole.push_str(without_comment(line));
        }
        let inside = whole.split(']').next().unwrap_or_default();
        return inside.split(',').filter_map(scalar).collect();
    }
    if !first.is_empty() {
        return scalar(first).into_iter().collect();
    }
    let mut found = Vec::new();
    for line in lines {
        let line = without_comment(line);
        match line.strip_prefix('-') {
            // `---` begins another document.
            Some(item) if item.is_empty() || item.starts_with([' ', '\t']) => found.extend(scalar(item)),
            None if line.is_empty() => {}
            _ => break,
        }
    }
    found
}

fn scalar(text: &str) -> Option<String> {
    let text = text.trim();
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let text = quoted('"').or_else(|| quoted('\'')).unwrap_or(text);
    (!matches!(text, "" | "null" | "~")).then(|| text.to_owned())
}

/// A line without its comment, which begins the line or follows a blank, and without blanks around.
fn without_comment(line: &str) -> &str {
    let comment = line.char_indices().find(|(at, character)| {
        *character == '#' && line.get(..*at).is_none_or(|before| before.is_empty() || before.ends_with([' ', '\t']))
    });
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line).trim()
}
