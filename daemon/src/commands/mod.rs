//! The program as people call it: one file for each command.

pub mod discover;
