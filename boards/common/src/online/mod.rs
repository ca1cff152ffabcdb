//! Learning that goes on: samples from an interrupt, a button that says when a guess was wrong, old samples in the mix, and steps in
//! parts, so that the application has the processor when it needs it.
//!
//! [`Feed`] is the queue from the interrupt, which has the [`Button`], to the [`Session`], which guesses and learns. That is all that an
//! application wants. [`Play`] is the outside of a demo, and [`Demo`] measures a session.

mod button;
mod demo;
mod feed;
mod play;
mod session;
mod tasks;

pub use button::Button;
pub use demo::{Buffers, Demo, Report};
pub use feed::{Event, Feed, Sink, Source};
pub use play::{PIXELS, POLLS, Pin, Play, Stage};
pub use session::{Counts, Heard, Learner, Learning, Pace, Parts, Session, Task};
pub use tasks::{Factored, FromScratch, OtherHands};
