//! Fuzzes [`onward_fuzz::wire`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| onward_fuzz::wire::check(bytes));
