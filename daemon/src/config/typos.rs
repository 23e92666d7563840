//! What a person probably meant who wrote something that is not TOML. Pure; the parser finds the place, this file reads
//! the line there and says how it is written.

/// Maximum length of a hint, which repeats what stands in the line, in characters.
const LONGEST_HINT: usize = 200;

/// Returns how the line at `offset` is written in TOML, where `text` has a known mistake there.
pub(super) fn hint(text: &str, offset: usize, message: &str) -> Option<String> {
    find(text, offset, message).map(|hint| hint.chars().take(LONGEST_HINT).collect())
}

fn find(text: &str, offset: usize, message: &str) -> Option<String> {
    let start = text.get(..offset)?.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(start..)?.lines().next()?.trim_ascii();
    if line.contains('\r') {
        return None; // the end of a line as old Macs wrote it: the parser says so
    }
    if message.starts_with("duplicate key") {
        return Some(duplicate(text.get(..start)?, line));
    }
    // A parser that looks for the end of a list finds the mistake of an earlier line at the end of the text.
    if ["unclosed", "missing comma", "invalid basic string"].iter().any(|what| message.starts_with(what)) {
        return unclosed(text);
    }
    odd_characters(line).or_else(|| foreign(line)).or_else(|| match line.split_once('=') {
        Some((_, value)) if value.starts_with('=') => None,
        Some((key, value)) => wrong_value(key.trim(), without_comment(value), message),
        None if message.starts_with("key with no value") => no_equals(line),
        None => unquoted(without_comment(line).trim_end_matches([']', ','])).map(|value| write(&value)),
    })
}

fn write(line: &str) -> String {
    format!("quotes are missing; write {line}")
}

/// Names the line that has the key or the table already.
fn duplicate(before: &str, line: &str) -> String {
    let name = |line: &str| {
        let line = line.trim();
        if line.starts_with('[') { without_comment(line).to_owned() } else { key_of(line).to_owned() }
    };
    let wanted = name(line);
    let lines: Vec<&str> = before.lines().collect();
    // A key belongs to the table whose header stands last above it.
    let scope = if line.starts_with('[') {
        0
    } else {
        lines.iter().rposition(|line| line.trim().starts_with('[')).unwrap_or(0)
    };
    let found = lines.iter().enumerate().skip(scope).find(|(_, line)| name(line) == wanted);
    match found {
        Some((index, _)) => format!("{wanted} is in line {} already; keep one of them", index + 1),
        None => format!("{wanted} is there already; keep one of them"),
    }
}

fn key_of(line: &str) -> &str {
    line.split_once('=').map_or(line, |(key, _)| key).trim()
}

/// Finds the line that opens a list, table or text and does not close it.
fn unclosed(text: &str) -> Option<String> {
    for (index, line) in text.lines().enumerate() {
        let line = without_comment(line.trim());
        let (_, value) = line.split_once('=').unwrap_or(("", line));
        if value.matches('"').count() % 2 == 1 && !value.contains("\"\"\"") && !value.contains('\'') {
            return Some(format!("in line {} a text lacks one of its quotes: {line}", index + 1));
        }
    }
    None
}

/// Characters that editors and web pages put in place of the plain ones.
fn odd_characters(line: &str) -> Option<String> {
    if line.contains(['“', '”', '„', '‘', '’', '«', '»']) {
        return Some("quotes are the plain ones of the keyboard: \"…\"".to_owned());
    }
    let odd = line.chars().find(|letter| {
        !letter.is_ascii()
            && (letter.is_whitespace() || matches!(*letter, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'))
    })?;
    Some(format!("a blank in this line is not a plain one (U+{:04X}); type it again", u32::from(odd)))
}

/// Other languages of configuration files.
fn foreign(line: &str) -> Option<String> {
    if line.starts_with(';') || line.starts_with("//") || line.contains(" //") {
        return Some("a comment begins with #".to_owned());
    }
    if line.starts_with('{') || line.starts_with('<') {
        return Some("this is another language; TOML writes key = value, one on each line".to_owned());
    }
    if line == "-" || line.starts_with("- ") || line.starts_with("---") {
        return Some("this is YAML; TOML writes a list as key = [\"one\", \"other\"]".to_owned());
    }
    let (key, value) = line.split_once(':')?;
    let is_key = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.\"".contains(&b));
    let value = value.strip_prefix('=').unwrap_or(value);
    if !is_key(key.trim()) || !(value.is_empty() || value.starts_with(char::is_whitespace)) {
        return None;
    }
    let (key, value) = (key.trim().trim_matches('"'), without_comment(value));
    Some(match (value, unquoted(value)) {
        ("", _) => format!("this is YAML; TOML writes {key} = value, or the table's name as [{key}]"),
        (value, None) => format!("TOML writes {key} = {value}"),
        (_, Some(quoted)) => format!("TOML writes {key} = {quoted}"),
    })
}

fn no_equals(line: &str) -> Option<String> {
    let (key, value) = line.split_once(char::is_whitespace)?;
    let value = without_comment(value);
    let value = unquoted(value).unwrap_or_else(|| value.to_owned());
    Some(format!("a key and its value have a = between them: {key} = {value}"))
}

fn wrong_value(key: &str, value: &str, message: &str) -> Option<String> {
    if value.is_empty() {
        return Some(format!("nothing stands behind {key} =; write a value, or put a # before the line"));
    }
    if let Some(word) = boolean(value) {
        return Some(format!("write {key} = {word}"));
    }
    if let Some(rest) = value.strip_suffix([';', ',']) {
        let rest = rest.trim();
        return Some(format!("nothing follows a value: {key} = {}", unquoted(rest).unwrap_or_else(|| rest.to_owned())));
    }
    if let Some(inner) =
        bracketed(value, '(', ')').or_else(|| bracketed(value, '{', '}').filter(|_| !value.contains('=')))
    {
        return Some(format!(
            "a list stands in [ ]: {key} = [{}]",
            unquoted(inner).unwrap_or_else(|| inner.to_owned())
        ));
    }
    if message.starts_with("unexpected key or value") && value.contains("\",") {
        return Some(format!("several values are a list: {key} = [{value}]"));
    }
    unquoted(value).map(|value| write(&format!("{key} = {value}")))
}

/// The word of TOML for what other languages have for yes and no.
pub(super) fn boolean(text: &str) -> Option<&'static str> {
    match text.trim().trim_matches('"').to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "enabled" => Some("true"),
        "false" | "no" | "off" | "0" | "disabled" => Some("false"),
        _ => None,
    }
}

fn bracketed(value: &str, open: char, close: char) -> Option<&str> {
    value.strip_prefix(open)?.strip_suffix(close).map(str::trim)
}

/// Returns a value, or a list of values, with quotes around each that needs them; `None` where none lacks them.
fn unquoted(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('[') {
        let items = unquoted(rest.strip_suffix(']').unwrap_or(rest))?;
        return Some(format!("[{items}]"));
    }
    let plain = |item: &str| {
        item.is_empty()
            || item.starts_with(['"', '\'', '[', '{'])
            || matches!(item, "true" | "false")
            || item.parse::<i64>().is_ok()
    };
    let items: Vec<&str> = value.split(',').map(str::trim).collect();
    if items.iter().all(|item| plain(item)) {
        return None;
    }
    let quoted = items
        .iter()
        .map(|item| if plain(item) { (*item).to_owned() } else { format!("\"{}\"", item.replace('"', "")) });
    Some(quoted.collect::<Vec<_>>().join(", "))
}

/// The line without the comment at its end. A # in quotes is none.
fn without_comment(line: &str) -> &str {
    let mut quotes = 0;
    let end = line.char_indices().find(|(_, letter)| {
        quotes += usize::from(*letter == '"');
        *letter == '#' && quotes % 2 == 0
    });
    line.get(..end.map_or(line.len(), |(at, _)| at)).unwrap_or(line).trim()
}
