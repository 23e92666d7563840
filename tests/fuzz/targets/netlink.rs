//! Fuzzes [`onward_fuzz::netlink`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| onward_fuzz::netlink::check(bytes));
