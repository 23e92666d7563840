//! Fuzzes [`onward_fuzz::kubelet`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| onward_fuzz::kubelet::check(bytes));
