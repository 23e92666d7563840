//! Fuzzes [`onward_fuzz::tag`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| onward_fuzz::tag::check(bytes));
