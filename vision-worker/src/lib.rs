//! vision-worker
