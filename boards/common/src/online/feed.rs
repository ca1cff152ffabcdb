//! From an interrupt to the session.

use core::sync::atomic::{AtomicU32, Ordering};

use embedded_hal::digital::InputPin;
use heapless::spsc::{Consumer, Producer, Queue};

use super::Button;

/// What happened outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<const LEN: usize> {
    /// The sensor has a sample.
    Sample([u8; LEN]),
    /// The button was pressed: the last guess was wrong, its label is next.
    Wrong,
    /// The label.
    Label(u8),
}

/// The queue between an interrupt and the session, for a static: room for `CAPACITY - 1` events. Its ends wait for nothing.
#[derive(Debug)]
pub struct Feed<const LEN: usize, const CAPACITY: usize> {
    queue: Queue<Event<LEN>, CAPACITY>,
    lost: AtomicU32,
}

impl<const LEN: usize, const CAPACITY: usize> Feed<LEN, CAPACITY> {
    /// Without an event.
    #[expect(
        clippy::new_without_default,
        reason = "a default would build it on the stack, and move it"
    )]
    pub const fn new() -> Self {
        Self {
            queue: Queue::new(),
            lost: AtomicU32::new(0),
        }
    }

    /// The end for the interrupt, which has the button, and the end for the session.
    pub fn split<P>(&mut self, button: Button<P>) -> (Source<'_, P, LEN>, Sink<'_, LEN>) {
        let (producer, consumer) = self.queue.split();
        let lost = &self.lost;
        let source = Source {
            producer,
            lost,
            button,
        };
        (source, Sink { consumer, lost })
    }
}

/// The interrupt's end.
pub struct Source<'q, P, const LEN: usize> {
    producer: Producer<'q, Event<LEN>>,
    lost: &'q AtomicU32,
    button: Button<P>,
}

impl<P: InputPin, const LEN: usize> Source<'_, P, LEN> {
    /// Hands over a sample; false if there was no room and it is lost.
    pub fn sample(&mut self, sample: [u8; LEN]) -> bool {
        self.push(Event::Sample(sample))
    }

    /// Hands over the label of the last guess; false if there was no room and it is lost.
    pub fn label(&mut self, label: u8) -> bool {
        self.push(Event::Label(label))
    }

    /// Reads the button, some hundred times a second; true if it has gone down.
    ///
    /// # Errors
    ///
    /// The pin's.
    pub fn poll(&mut self) -> Result<bool, P::Error> {
        let pressed = self.button.poll()?;
        if pressed {
            self.push(Event::Wrong);
        }
        Ok(pressed)
    }

    fn push(&mut self, event: Event<LEN>) -> bool {
        let pushed = self.producer.enqueue(event).is_ok();
        if !pushed {
            // Nobody else writes it, so it needs no atomic addition, which a Cortex-M0 does not have.
            let lost = self.lost.load(Ordering::Relaxed);
            self.lost.store(lost.saturating_add(1), Ordering::Relaxed);
        }
        pushed
    }
}

/// The session's end.
pub struct Sink<'q, const LEN: usize> {
    consumer: Consumer<'q, Event<LEN>>,
    lost: &'q AtomicU32,
}

impl<const LEN: usize> Sink<'_, LEN> {
    /// Whether an event is waiting.
    pub fn ready(&self) -> bool {
        self.consumer.ready()
    }

    /// The next event.
    pub fn take(&mut self) -> Option<Event<LEN>> {
        self.consumer.dequeue()
    }

    /// The events that found no room.
    pub fn lost(&self) -> u32 {
        self.lost.load(Ordering::Relaxed)
    }
}
