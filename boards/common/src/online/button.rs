//! A button whose contacts bounce.

use embedded_hal::digital::{InputPin, PinState};

/// Tells each press of a button once.
///
/// Contacts bounce for some milliseconds: a button is down, or up again, when its pin has read so several times in a row. One that is
/// held down from the start says nothing until it was let go.
#[derive(Debug)]
pub struct Button<P> {
    pin: P,
    pressed: PinState,
    polls: u8,
    /// As it was last known to be, and the readings since then that say otherwise.
    down: bool,
    others: u8,
}

impl<P: InputPin> Button<P> {
    /// A button whose pin reads `pressed` while it is down; low, if it connects the pin to ground. It is believed after `polls` equal
    /// readings, at least one.
    pub const fn new(pin: P, pressed: PinState, polls: u8) -> Self {
        Self {
            pin,
            pressed,
            polls,
            down: true,
            others: 0,
        }
    }

    /// Reads the pin; true if the button has gone down.
    ///
    /// # Errors
    ///
    /// The pin's.
    pub fn poll(&mut self) -> Result<bool, P::Error> {
        let down = match self.pressed {
            PinState::High => self.pin.is_high()?,
            PinState::Low => self.pin.is_low()?,
        };
        if down == self.down {
            self.others = 0;
            return Ok(false);
        }
        self.others = self.others.saturating_add(1);
        if self.others < self.polls {
            return Ok(false);
        }
        (self.down, self.others) = (down, 0);
        Ok(down)
    }
}
