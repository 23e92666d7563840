//! systemd's way to lay out a configuration: a main file in one of several directories, and drop-ins in all of them.
//!
//! Of files with the same name only that of the most important directory is read; all are read in the order of their
//! names, whatever directory they are in, the main file first (systemd.conf.d, resolved.conf(5)).

use std::collections::BTreeMap;

use crate::discovery::reader::Reader;

/// The directories, most important first.
pub(super) const DIRECTORIES: [&str; 4] =
    ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// One `key=value` line of the section that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The file.
    pub(crate) path: String,
    /// Its line, the first being 1.
    pub(crate) line: usize,
    /// What stands before the equals sign.
    pub(crate) key: String,
    /// What stands after it.
    pub(crate) value: String,
}

/// All assignments of `[section]` in `name` and `name.d/*.conf`, in the order in which they take effect.
pub(crate) fn read(name: &str, section: &str, reader: &mut Reader<'_>) -> Vec<Assignment> {
    let root = reader.root();
    let main = DIRECTORIES.iter().map(|directory| format!("{directory}/{name}"));
    let main = main.into_iter().find(|path| root.path(path).symlink_metadata().is_ok());
    let mut dropins = BTreeMap::new();
    for directory in DIRECTORIES {
        let directory = format!("{directory}/{name}.d");
        for file in reader.names(&directory) {
            if file.ends_with(".conf") {
                dropins.entry(file.clone()).or_insert_with(|| format!("{directory}/{file}"));
            }
        }
    }
    let mut assignments = Vec::new();
    for path in main.into_iter().chain(dropins.into_values()) {
        if is_masked(&path, reader) {
            continue;
        }
        let text = reader.text(&path);
        let text = text.known().map_or("", String::as_str);
        assignments.extend(parse(text, section).map(|(line, key, value)| Assignment {
            path: path.clone(),
            line,
            key,
            value,
        }));
    }
    assignments
}

/// Whether a link to /dev/null stands there, which says "not this one".
pub(super) fn is_masked(path: &str, reader: &Reader<'_>) -> bool {
    std::fs::read_link(reader.root().path(path)).is_ok_and(|target| target.as_os_str() == "/dev/null")
}

/// The assignments of one file: `(line, key, value)`. Lines that end with a backslash go on in the next one.
fn parse(text: &str, section: &str) -> impl Iterator<Item = (usize, String, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut pending = String::new();
    let mut started = 1;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if pending.is_empty() {
            started = index + 1;
        }
        if let Some(head) = line.strip_suffix('\\') {
            pending.push_str(head);
            pending.push(' ');
            continue;
        }
        let whole = std::mem::take(&mut pending) + line;
        if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name == section;
        } else if let (true, Some((key, value))) = (inside, whole.split_once('=')) {
            found.push((started, key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    found.into_iter()
}

/// The words of a line; quotes, which may begin within a word, hold blanks together (systemd.syntax(7)).
#[must_use]
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '"' | '\'') => (quote, begun) = (Some(letter), true),
            (None, letter) if letter.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (_, letter) => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::root::Root;

    #[test]
    fn one_section_is_read_with_lines_comments_and_continuations() {
        let text = "[Other]\nDNS=1.1.1.1\n[Resolve]\n#DNS=2.2.2.2\n DNS = 10.0.0.2 \\\n; between\n 10.0.0.3\nDNS=\n";
        let found: Vec<_> = parse(text, "Resolve").collect();
        assert_eq!(found, [(5, "DNS".into(), "10.0.0.2  10.0.0.3".into()), (8, "DNS".into(), String::new())]);
    }

    #[test]
    fn files_take_effect_in_the_order_of_their_names_and_hide_those_of_lesser_directories() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::at(directory.path());
        for (path, value) in [
            ("/usr/lib/systemd/resolved.conf", "hidden-main"),
            ("/etc/systemd/resolved.conf", "main"),
            ("/usr/lib/systemd/resolved.conf.d/10-a.conf", "hidden"),
            ("/run/systemd/resolved.conf.d/10-a.conf", "first"),
            ("/etc/systemd/resolved.conf.d/50-c.conf", "third"),
            ("/usr/lib/systemd/resolved.conf.d/20-b.conf", "second"),
            ("/usr/lib/systemd/resolved.conf.d/60-d.conf", "masked"),
            ("/etc/systemd/resolved.conf.d/readme", "no"),
        ] {
            let path = root.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("[Resolve]\nDNS={value}\n")).unwrap();
        }
        std::os::unix::fs::symlink("/dev/null", root.path("/etc/systemd/resolved.conf.d/60-d.conf")).unwrap();
        let read = read("resolved.conf", "Resolve", &mut Reader::new(&root));
        let values: Vec<_> = read.iter().map(|assignment| assignment.value.as_str()).collect();
        assert_eq!(values, ["main", "first", "second", "third"]);
        assert_eq!(read[1].path, "/run/systemd/resolved.conf.d/10-a.conf");
    }
}
