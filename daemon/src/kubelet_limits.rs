//! What kubelet and the C library take of a resolv.conf, and what of it is ours: the one home of these numbers.
//!
//! kubelet checks the file that it hands to pods (`maxDNSNameservers`, `MaxDNSSearchPaths` and `MaxDNSSearchListChars`
//! of Kubernetes) and cuts what is too long; it adds the domains of the cluster, so that some of its room is not ours.

use crate::wire::name;

/// Maximum number of servers that kubelet and glibc (`MAXNS`) use.
pub(crate) const SERVERS: usize = 3;
/// Maximum number of search domains that kubelet takes.
pub(crate) const KUBELET_DOMAINS: usize = 32;
/// Number of search domains that the cluster adds for its pods.
pub(crate) const CLUSTER_DOMAINS: usize = 3;
/// Maximum number of search domains that we write.
pub(crate) const DOMAINS: usize = KUBELET_DOMAINS - CLUSTER_DOMAINS;
/// Maximum length of the search list that kubelet takes, in characters with a blank between domains.
const KUBELET_CHARACTERS: usize = 2_048;
/// Number of characters that are left for the cluster's domains and the blanks between them.
const CLUSTER_CHARACTERS: usize = 256;
/// Maximum length of the search list that we write, in characters with a blank between domains.
pub(crate) const CHARACTERS: usize = KUBELET_CHARACTERS - CLUSTER_CHARACTERS;
/// Maximum number of options that we write; the C library knows half that number.
pub(crate) const OPTIONS: usize = 32;
/// Maximum length of an option's name, in characters; the C library's own are half as long.
pub(crate) const OPTION_NAME: usize = 32;
/// Maximum length of a domain, in characters without the last dot (RFC 1035, section 2.3.4, and kubelet's limit).
pub(crate) const NAME: usize = name::TEXT_MAX;
/// Maximum length of a label, in characters (RFC 1035, section 2.3.4).
pub(crate) const LABEL: usize = name::LABEL_MAX;
