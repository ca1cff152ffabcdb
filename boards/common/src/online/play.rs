//! The outside of a demo: digits from flash in front of a sensor, and somebody who watches the guesses.

use core::convert::Infallible;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use embedded_hal::digital::{ErrorType, InputPin, PinState};
use lightlayers::Error;
use lightlayers::dataset::Dataset;

use super::{Button, Source};
use crate::digits::Side;
use crate::int8::Camera;

/// Bytes of a digit: 8x8 pixels.
pub const PIXELS: usize = 64;

/// Readings of the button's pin that must be equal.
pub const POLLS: u8 = 3;

/// Nothing on the screen.
const NOTHING: u8 = u8::MAX;

/// What the interrupt and the session see of each other: a screen, a button, and a clock on the wall. For a static.
#[derive(Debug)]
pub struct Stage {
    screen: AtomicU8,
    finger: AtomicBool,
    over: AtomicBool,
    shown_at: AtomicU32,
    busy: AtomicU32,
}

impl Stage {
    /// A dark screen.
    #[expect(clippy::new_without_default, reason = "it is for a static")]
    pub const fn new() -> Self {
        Self {
            screen: AtomicU8::new(NOTHING),
            finger: AtomicBool::new(false),
            over: AtomicBool::new(false),
            shown_at: AtomicU32::new(0),
            busy: AtomicU32::new(0),
        }
    }

    /// The button, which connects its pin to ground.
    pub const fn button(&self) -> Button<Pin<'_>> {
        Button::new(Pin(self), PinState::Low, POLLS)
    }

    /// Writes a guess on the screen.
    pub fn write(&self, guess: usize) {
        let guess = u8::try_from(guess).unwrap_or(NOTHING);
        self.screen.store(guess, Ordering::Relaxed);
    }

    /// True when the play is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// When the last sample came, by the counter that the interrupt reads.
    pub fn shown_at(&self) -> u32 {
        self.shown_at.load(Ordering::Relaxed)
    }

    /// How long the interrupts took since the start; it goes round.
    pub fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }
}

/// The pin of the button: low while it is pressed.
#[derive(Clone, Copy, Debug)]
pub struct Pin<'s>(&'s Stage);

impl ErrorType for Pin<'_> {
    type Error = Infallible;
}

impl InputPin for Pin<'_> {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.finger.load(Ordering::Relaxed))
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.finger.load(Ordering::Relaxed))
    }
}

/// Shows digits, one after another, and presses the button when the guess on the screen is wrong; then comes the label.
///
/// ```text
/// tick    0  a digit comes
///     LOOK   if the guess is wrong: the button goes down, and bounces
///            ... and up again, 10 ticks later
///     TELL   the label comes
///   PERIOD   the next digit
/// ```
pub struct Play<'s> {
    stage: &'s Stage,
    source: Source<'s, Pin<'s>, PIXELS>,
    digits: Side,
    period: u32,
    /// Digits to come.
    rest: u32,
    tick: u32,
    next: usize,
    label: u8,
    wrong: bool,
}

/// Of a period: when the screen is looked at.
const LOOK: u32 = 24;
/// Of a period: when the label comes.
const TELL: u32 = LOOK + 12;
/// The least period, in ticks.
const LEAST_PERIOD: u32 = TELL + 4;

impl<'s> Play<'s> {
    /// A play of so many of the digits for training, each of so many ticks, at least 40.
    ///
    /// # Errors
    ///
    /// None, as [`Side::both`].
    pub fn new(
        stage: &'s Stage,
        source: Source<'s, Pin<'s>, PIXELS>,
        period: u32,
        digits: u32,
    ) -> Result<Self, Error> {
        let [training, _] = Side::both()?;
        Ok(Self {
            stage,
            source,
            digits: training,
            period: period.max(LEAST_PERIOD),
            rest: digits,
            tick: 0,
            next: 0,
            label: 0,
            wrong: false,
        })
    }

    /// What happens in a tick, to be called by the interrupt of a timer; `counter` is read at its start and at its end.
    ///
    /// # Errors
    ///
    /// [`Error::Index`] without a digit; the button has none.
    pub fn tick(&mut self, counter: impl Fn() -> u32) -> Result<(), Error> {
        let start = counter();
        let result = self.act(start);
        let busy = counter().wrapping_sub(start);
        let before = self.stage.busy.load(Ordering::Relaxed);
        let sum = before.wrapping_add(busy);
        self.stage.busy.store(sum, Ordering::Relaxed);
        result
    }

    fn act(&mut self, now: u32) -> Result<(), Error> {
        let Stage { screen, finger, .. } = self.stage;
        match self.tick {
            0 if self.rest == 0 => self.stage.over.store(true, Ordering::Relaxed),
            0 => {
                let mut digit = [0; PIXELS];
                self.label = self.digits.photograph(self.next, &mut digit)? as u8;
                self.next = (self.next + 1) % self.digits.len();
                self.rest -= 1;
                screen.store(NOTHING, Ordering::Relaxed);
                self.stage.shown_at.store(now, Ordering::Relaxed);
                self.source.sample(digit);
            }
            LOOK => {
                let guess = screen.load(Ordering::Relaxed);
                self.wrong = guess != NOTHING && guess != self.label;
            }
            TELL if self.wrong => {
                self.source.label(self.label);
            }
            _ => {}
        }
        let down = self.wrong && matches!(self.tick.wrapping_sub(LOOK), 0 | 2 | 4..=9 | 11);
        finger.store(down, Ordering::Relaxed);
        let Ok(_) = self.source.poll();
        if !self.stage.is_over() {
            self.tick = (self.tick + 1) % self.period;
        }
        Ok(())
    }
}
