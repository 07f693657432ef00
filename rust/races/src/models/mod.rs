//! What has to hold in every order of the threads.

mod calls;
mod queues;
