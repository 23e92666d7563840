//! Fuzzes [`onward_fuzz::resolv_conf`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| onward_fuzz::resolv_conf::check(bytes));
