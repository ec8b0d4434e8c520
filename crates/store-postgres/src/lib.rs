//! The store-postgres room.
