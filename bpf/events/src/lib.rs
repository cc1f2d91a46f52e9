//! Records that the kernel side writes and the host reads.
