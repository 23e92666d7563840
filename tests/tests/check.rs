//! `onward check` on a node of its own: what the service could not read or write, or would not ask, is not called
//! sound.

use std::process::{Command, Output};

use onward_tests::can_run;
use onward_tests::peers::onward;

/// A user for the service, in files that only the test sees.
const ACCOUNTS: &str = "root:x:0:0::/root:/bin/sh\nonward:x:64998:64998::/:/bin/false\n";
const GROUPS: &str = "root:x:0:\nonward:x:64998:\n";

/// Runs a script in a mount namespace of its own with an empty /etc: our unit, its user, and a configuration.
fn on_a_node(configuration: &str, script: &str) -> Output {
    let prepare = format!(
        "set -e; mount -t tmpfs -o mode=755 tmpfs /etc; mkdir -p /etc/onward/onward.toml.d /etc/systemd/system\n\
         printf '{ACCOUNTS}' > /etc/passwd; printf '{GROUPS}' > /etc/group\n\
         printf '[Service]\\nUser=onward\\nRuntimeDirectory=onward\\nStateDirectory=onward\\n' \
         > /etc/systemd/system/onward.service\n\
         echo nameserver 10.0.0.2 > /etc/resolv.conf\n\
         cat > /etc/onward/onward.toml; set +e\n{script}"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &prepare]);
    // Variables of the tests begin as those of the configuration do.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("ONWARD", onward());
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("unshare");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), configuration.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_file_that_the_services_user_cannot_read_is_a_warning_to_root_and_a_fault_of_the_service() {
    if !can_run() {
        return;
    }
    let sound = on_a_node("workers = 2\n", "chmod 644 /etc/onward/onward.toml; $ONWARD check --as-service");
    assert_eq!((sound.status.code(), text(&sound).as_str()), (Some(0), "The configuration is sound.\n"));
    let folder = on_a_node("", "chmod 700 /etc/onward/onward.toml.d; $ONWARD check --as-service");
    assert_eq!(folder.status.code(), Some(78));
    assert!(text(&folder).contains("may not list it; run: chmod o+rx /etc/onward/onward.toml.d"), "{}", text(&folder));
    let told = "the user onward may not read it; run: chmod o+r /etc/onward/onward.toml";
    let root = on_a_node("workers = 2\n", "chmod 600 /etc/onward/onward.toml; $ONWARD check");
    assert_eq!(root.status.code(), Some(0));
    assert!(text(&root).contains(told) && !text(&root).contains("sound"), "{}", text(&root));
    let service = on_a_node("workers = 2\n", "chmod 600 /etc/onward/onward.toml; $ONWARD check --as-service");
    assert_eq!(service.status.code(), Some(78));
    assert!(text(&service).contains(told), "{}", text(&service));
}

#[test]
fn the_variables_and_flags_of_the_unit_are_those_of_the_service_and_the_shells_are_not() {
    if !can_run() {
        return;
    }
    let dropin = "mkdir /etc/systemd/system/onward.service.d; printf '[Service]\\nEnvironment=ONWARD_WORKERS=99\\n\
                  ExecStart=/usr/bin/onward run --log-level loud\\n' > /etc/systemd/system/onward.service.d/a.conf\n";
    let service = on_a_node("", &format!("{dropin} ONWARD_FAMILIES=ipv5 $ONWARD check --as-service"));
    assert_eq!(service.status.code(), Some(78));
    assert!(text(&service).contains("environment ONWARD_WORKERS: workers = \"99\""), "{}", text(&service));
    assert!(text(&service).contains("--log-level: log.level = \"loud\""), "{}", text(&service));
    assert!(!text(&service).contains("FAMILIES"), "{}", text(&service));
    let shell = on_a_node("", &format!("{dropin} ONWARD_FAMILIES=ipv5 $ONWARD check"));
    assert!(text(&shell).contains("environment ONWARD_FAMILIES"), "{}", text(&shell));
}

#[test]
fn what_would_not_work_on_this_node_is_not_called_sound() {
    if !can_run() {
        return;
    }
    for (configuration, told) in [
        ("[resolv_conf]\npath = \"/proc/onward/resolv.conf\"\n", "/proc is on a file system that cannot be written to"),
        ("[resolv_conf]\npath = \"/etc/kubernetes/resolv.conf\"\n", "the user onward may not write to /etc"),
        ("[cache]\nmax_bytes = \"16GiB\"\n", "more than MemoryMax= of the unit"),
        ("allow = [\"::/0\"]\n", "an open resolver: ::/0"),
        (
            "listen = [\"10.99.0.1\"]\n[upstreams]\nservers = [\"10.99.0.1:53\"]\n",
            "one of the servers is Onward itself",
        ),
    ] {
        let limit = "printf 'MemoryMax=64M\\n' >> /etc/systemd/system/onward.service";
        let output = on_a_node(configuration, &format!("{limit}; $ONWARD check"));
        assert!(text(&output).contains(told) && !text(&output).contains("sound"), "{}", text(&output));
    }
}

#[test]
fn what_would_be_waited_for_is_not_called_sound() {
    if !can_run() {
        return;
    }
    for (configuration, script, told) in [
        ("", "rm /etc/resolv.conf", "no source names a server that may be asked; one is waited for"),
        ("", "ln -sf /run/onward/resolv.conf /etc/resolv.conf", "one is waited for"),
        ("listen = [\"interface:eth77\"]\n", "true", "no network interface \"eth77\" yet"),
        ("[upstreams]\nservers = [\"fe80::1%eth99\"]\n", "true", "no such network interface yet; it is waited for"),
    ] {
        let output = on_a_node(configuration, &format!("{script}; $ONWARD check"));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(text(&output).contains(told) && !text(&output).contains("sound"), "{}", text(&output));
    }
}

#[test]
fn the_null_device_is_an_empty_configuration_and_service_variables_of_kubernetes_are_passed_over() {
    if !can_run() {
        return;
    }
    let variables = "ONWARD_SERVICE_HOST=10.96.0.53 ONWARD_PORT=udp://10.96.0.53:53 ONWARD_PORT_53_UDP_PROTO=udp";
    let output = on_a_node("", &format!("{variables} $ONWARD check --config /dev/null"));
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output).contains("The configuration is sound."), "{}", text(&output));
    assert!(text(&output).contains("note: environment ONWARD_PORT: ignored and 2 more like it"), "{}", text(&output));
}
