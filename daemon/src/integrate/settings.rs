//! One setting in a text that people and programs wrote: a key of a YAML file, a flag in a file of variables. All else
//! stays as it is, comments and order too. Pure.
//!
//! A text whose form is not understood to the last is not changed at all: `None`.

use crate::discovery::kubelet::flags::Flags;
use crate::discovery::kubelet::yaml::Document;

/// Sets a top-level key of a YAML file to a text without blanks. Returns the whole text, equal where the key has that
/// value already.
#[must_use]
pub(super) fn set_key(text: &str, key: &str, value: &str) -> Option<String> {
    let read = |text: &str| Document::read(text).ok()?.list(key).ok();
    if read(text)? == [value] {
        return Some(text.to_owned());
    }
    // Of several documents a program reads the first.
    let mut content = text.lines().skip_while(|line| line.trim().is_empty() || line.starts_with(['#', '%', '-']));
    if content.any(|line| line.starts_with("---") || line.starts_with("...")) {
        return None;
    }
    let line = format!("{key}: {value}");
    let prefix = format!("{key}:");
    let mut lines: Vec<&str> = text.lines().collect();
    let mut places = lines.iter().enumerate().filter(|(_, line)| line.starts_with(&prefix)).map(|(place, _)| place);
    match (places.next(), places.next()) {
        (Some(place), None) => *lines.get_mut(place)? = &line,
        (None, _) => lines.push(&line),
        (Some(_), Some(_)) => return None,
    }
    let changed = lines.join("\n") + "\n";
    // What the parser makes of it decides: a value may have had more lines, or the file be one of brackets.
    (read(&changed)? == [value]).then_some(changed)
}

/// The value of a variable in a file that systemd reads (systemd.exec(5), `EnvironmentFile=`); the last one counts.
#[must_use]
pub(super) fn variable(text: &str, name: &str) -> Option<String> {
    let line = text.lines().rev().find_map(|line| value_of(line, name))?;
    Some(unquoted(line).0.to_owned())
}

/// Sets `--resolv-conf` among the flags that a variable has. Returns the whole text; a variable that is not there is
/// added.
#[must_use]
pub(super) fn set_flag(text: &str, name: &str, path: &str) -> Option<String> {
    let flag = format!("--resolv-conf={path}");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let Some(place) = lines.iter().rposition(|line| value_of(line, name).is_some()) else {
        if lines.last().is_some_and(|line| line.ends_with('\\')) {
            return None;
        }
        lines.push(format!("{name}={flag}"));
        return Some(lines.join("\n") + "\n");
    };
    let line = lines.get_mut(place)?;
    let (value, quote) = unquoted(value_of(line, name)?);
    // A value that goes on in the next line, or that has quotes of its own, is not for a plain split.
    if value.ends_with('\\') || value.contains(['"', '\'']) {
        return None;
    }
    let mut flags = without_flag(value);
    let given = Flags::parse(value.split_ascii_whitespace()).resolv_conf;
    if given.as_deref() == Some(path) {
        return Some(text.to_owned());
    }
    flags.push(&flag);
    let quote = quote.or_else(|| (flags.len() > 1).then_some('"')).map(String::from).unwrap_or_default();
    let start = line.len() - value_of(line, name)?.len();
    let value = flags.join(" ");
    *line = format!("{}{quote}{value}{quote}", line.get(..start)?);
    Some(lines.join("\n") + "\n")
}

/// Puts servers first in a variable that has a list of them, which is `named` now. Returns the whole text.
#[must_use]
pub(super) fn prepend_servers(text: &str, name: &str, named: &str, servers: &str) -> String {
    let ours: Vec<&str> = servers.split_ascii_whitespace().collect();
    let others = named.split_ascii_whitespace().filter(|server| !ours.contains(server));
    let list = ours.iter().copied().chain(others).collect::<Vec<_>>().join(" ");
    let line = format!("{name}=\"{list}\"");
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.iter().rposition(|line| value_of(line, name).is_some()).and_then(|place| lines.get_mut(place)) {
        Some(place) => *place = &line,
        None => lines.push(&line),
    }
    lines.join("\n") + "\n"
}

/// The words of a line of flags, less `--resolv-conf` and its value.
#[must_use]
pub(super) fn without_flag(value: &str) -> Vec<&str> {
    let mut kept = Vec::new();
    let mut words = value.split_ascii_whitespace();
    while let Some(word) = words.next() {
        match word.trim_start_matches('-').strip_prefix("resolv-conf") {
            Some("") => drop(words.next()),
            Some(rest) if rest.starts_with('=') => {}
            _ => kept.push(word),
        }
    }
    kept
}

/// What stands behind `NAME=` in a line; `None` for comments and other variables.
fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.trim_start().strip_prefix(name)?.strip_prefix('=').map(str::trim_end)
}

/// A value without the quotes around it, and which those are.
fn unquoted(value: &str) -> (&str, Option<char>) {
    for quote in ['"', '\''] {
        let inside = value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
        if let Some(inside) = inside {
            return (inside, Some(quote));
        }
    }
    (value, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/run/onward/resolv.conf";

    #[test]
    fn a_key_is_set_and_all_else_stays() {
        let text = "apiVersion: a\n# why\nresolvConf: /run/systemd/resolve/resolv.conf # kubeadm\nkind: b\n";
        let expected = "apiVersion: a\n# why\nresolvConf: /run/onward/resolv.conf\nkind: b\n";
        assert_eq!(set_key(text, "resolvConf", FILE).as_deref(), Some(expected));
        assert_eq!(set_key(expected, "resolvConf", FILE).as_deref(), Some(expected));
        assert_eq!(
            set_key("kind: b", "resolvConf", FILE).as_deref(),
            Some("kind: b\nresolvConf: /run/onward/resolv.conf\n")
        );
        assert_eq!(set_key("", "resolvConf", FILE).as_deref(), Some("resolvConf: /run/onward/resolv.conf\n"));
    }

    #[test]
    fn a_yaml_file_of_another_form_is_not_touched() {
        for text in [
            "{\"kind\": \"b\"}\n",
            "resolvConf: >-\n  /etc/resolv.conf\n",
            "resolvConf: a\nresolvConf: b\n",
            "kind: [\n",
            "  kind: b\n  resolvConf: a\n",
            "kind: b\n...\n",
            "---\nkind: b\n---\nkind: c\n",
        ] {
            assert_eq!(set_key(text, "resolvConf", FILE), None, "{text}");
        }
    }

    #[test]
    fn a_flag_is_set_in_the_variable_that_has_flags() {
        let name = "KUBELET_EXTRA_ARGS";
        for (before, after) in [
            ("", "KUBELET_EXTRA_ARGS=--resolv-conf=/run/onward/resolv.conf\n"),
            ("KUBELET_EXTRA_ARGS=\n", "KUBELET_EXTRA_ARGS=--resolv-conf=/run/onward/resolv.conf\n"),
            ("# x\nOTHER=1\n", "# x\nOTHER=1\nKUBELET_EXTRA_ARGS=--resolv-conf=/run/onward/resolv.conf\n"),
            ("KUBELET_EXTRA_ARGS=--v=2\n", "KUBELET_EXTRA_ARGS=\"--v=2 --resolv-conf=/run/onward/resolv.conf\"\n"),
            (
                "KUBELET_EXTRA_ARGS=\"--resolv-conf=/etc/resolv.conf --v=2\"\n",
                "KUBELET_EXTRA_ARGS=\"--v=2 --resolv-conf=/run/onward/resolv.conf\"\n",
            ),
            (
                "KUBELET_EXTRA_ARGS='--v 2 --resolv-conf /etc/resolv.conf'\nA=b\n",
                "KUBELET_EXTRA_ARGS='--v 2 --resolv-conf=/run/onward/resolv.conf'\nA=b\n",
            ),
        ] {
            let changed = set_flag(before, name, FILE);
            assert_eq!(changed.as_deref(), Some(after));
            assert_eq!(set_flag(after, name, FILE).as_deref(), Some(after), "a second time");
        }
        assert_eq!(variable("A=1\nA=\"2 3\"\n", "A").as_deref(), Some("2 3"));
    }

    #[test]
    fn servers_come_first_in_a_list_and_once() {
        let (name, ours) = ("name_servers", "10.0.0.5 fd00::5");
        for (before, named, after) in [
            ("# x\n", "", "# x\nname_servers=\"10.0.0.5 fd00::5\"\n"),
            ("name_servers=10.0.0.2\n", "10.0.0.2", "name_servers=\"10.0.0.5 fd00::5 10.0.0.2\"\n"),
        ] {
            assert_eq!(prepend_servers(before, name, named, ours), after);
            let named = variable(after, name).unwrap();
            assert_eq!(prepend_servers(after, name, &named, ours), after, "a second time");
        }
    }

    #[test]
    fn a_variable_of_another_form_is_not_touched() {
        for text in ["A=--v=2 \\\n --w\n", "A=\"--a='b c'\" \"--d\"\n", "A=--a=\"b c\"\n", "B=1 \\\n"] {
            assert_eq!(set_flag(text, "A", FILE), None, "{text}");
        }
    }
}
