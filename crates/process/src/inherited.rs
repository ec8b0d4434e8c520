//! What whoever started the hub left open. Nothing of it may reach a child: a descriptor is a right, and
//! somebody else's program has none to what the hub was handed by accident.

/// The first descriptor that is nobody's standard input, output or error.
const FIRST: i32 = 3;

/// Marks every open descriptor but the standard three close-on-exec. To be called once, first thing in
/// `main`, while there is one thread. What the hub opens later is born with the mark, and what a child or
/// the guard is meant to have (its three pipes) is put in place by the start itself.
pub fn keep_inherited() {
    close_fds::set_fds_cloexec(FIRST, &[]);
}
