//! What the C library takes from resolv.conf (glibc's `resolv.h`), for those who read such files and those who write
//! them. The number of servers and the lengths of names are in `kubelet_limits`, since kubelet has the same.

/// Options with a number, and the maximum of each (`RES_MAXNDOTS`, `RES_MAXRETRANS` in seconds, `RES_MAXRETRY`).
pub(crate) const NUMBERED_OPTIONS: [(&str, u32); 3] = [("ndots", 15), ("timeout", 30), ("attempts", 5)];
