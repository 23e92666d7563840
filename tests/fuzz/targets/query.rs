//! Fuzzes [`onward_fuzz::query`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| onward_fuzz::query::check(bytes));
