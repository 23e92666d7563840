//! What the C library takes from resolv.conf at most (glibc's `resolv.h`), for those who read such files and those who
//! write them.

/// Maximum number of servers (`MAXNS`).
pub const SERVERS_MAX: usize = 3;
/// Options with a number, and the maximum of each (`RES_MAXNDOTS`, `RES_MAXRETRANS` in seconds, `RES_MAXRETRY`).
pub const NUMBERED_OPTIONS: [(&str, u32); 3] = [("ndots", 15), ("timeout", 30), ("attempts", 5)];
