//! TCP followed.
