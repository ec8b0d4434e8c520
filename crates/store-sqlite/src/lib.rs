//! The store-sqlite room.
