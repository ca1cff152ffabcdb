//! A thermal camera of 8x8 pixels: Panasonic's Grid-EYE AMG8833, over I²C, as a data set.
//!
//! Registers, times and the format of temperatures are those of Panasonic's "Infrared Array Sensor Grid-EYE (AMG88)", reference
//! specifications.

use core::fmt;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use lightlayers::dataset::{Dataset, Target};
use lightlayers::{Buffer, Error};

/// Pixels of an image, 8x8.
pub const PIXELS: usize = 64;

/// The device's address, chosen by its pin AD_SELECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Address {
    /// The pin is low: `0x68`.
    Low = 0x68,
    /// The pin is high: `0x69`.
    High = 0x69,
}

/// Pairs of a register and what is written to it.
mod settings {
    const POWER_CONTROL: u8 = 0x00;
    const RESET: u8 = 0x01;
    const FRAME_RATE: u8 = 0x02;

    pub(super) const NORMAL_MODE: [u8; 2] = [POWER_CONTROL, 0x00];
    pub(super) const INITIAL_RESET: [u8; 2] = [RESET, 0x3f];
    pub(super) const FLAG_RESET: [u8; 2] = [RESET, 0x30];
    pub(super) const TEN_FRAMES_PER_SECOND: [u8; 2] = [FRAME_RATE, 0x00];
}

/// Where the first of the pixels is read, two bytes each, the lower one first; the device goes on to the next by itself.
const FIRST_PIXEL: u8 = 0x80;

/// From power-on, or sleep, until the device may be reset.
const WAKE_UP_MS: u32 = 50;

/// From the initial reset to the flag reset.
const RESET_MS: u32 = 2;

/// Two frames at ten per second: then the pixels are those of after the reset.
const FIRST_FRAMES_MS: u32 = 200;

/// The coldest and the warmest temperature in the table of the device's format, in quarters of a degree Celsius: -55 and 125.
const FORMAT: (i16, i16) = (-220, 500);

/// Why there is no image.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CameraError<E> {
    /// The bus.
    Bus(E),
    /// A pixel is no temperature from -55 to 125 °C, in 12 bits: a bus without the device reads as ones.
    Pixel {
        /// Its number, from 0.
        pixel: usize,
        /// What was read.
        found: u16,
    },
    /// An input that does not have 64 values, or an index past the end.
    Sample(Error),
}

impl<E: fmt::Debug> fmt::Display for CameraError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus(error) => write!(f, "thermal camera: bus: {error:?}"),
            Self::Pixel { pixel, found } => write!(
                f,
                "thermal camera: pixel {pixel}: expected -55 to 125 °C in 12 bits, found {found:#06x}"
            ),
            Self::Sample(error) => write!(f, "thermal camera: {error}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for CameraError<E> {}

/// The camera: images of `[8, 8, 1]`, temperatures as numbers from 0 to 1.
///
/// A pixel of `t` °C is `(t - coldest) / (warmest - coldest)`, colder ones are 0 and warmer ones 1. The device measures in quarters of a
/// degree, ten times a second: an image that is read sooner is the same once more. Pixels come in the device's order, rows of eight.
///
/// Beside the bus it holds its address and two numbers. Reading takes 128 bytes of stack, and 131 bytes on the bus: 3 ms at 400 kHz.
///
/// ```
/// use boards_common::thermal::{Address, Camera, CameraError, PIXELS};
/// # use embedded_hal_mock::eh1::delay::NoopDelay;
/// # use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
/// # let mut i2c = Mock::new(&[
/// #     Transaction::write(0x69, vec![0, 0]),
/// #     Transaction::write(0x69, vec![1, 0x3f]),
/// #     Transaction::write(0x69, vec![1, 0x30]),
/// #     Transaction::write(0x69, vec![2, 0]),
/// #     Transaction::write_read(0x69, vec![0x80], [100, 0].repeat(64)),
/// # ]);
/// # let mut delay = NoopDelay::new();
/// # let bus = i2c.clone();
///
/// // A hand is warmer than a room.
/// let mut camera = Camera::new(bus, Address::High, 15.0, 35.0).expect("two temperatures");
/// camera.start(&mut delay)?;
/// let mut image = [0.0; PIXELS];
/// camera.read_image(&mut image)?;
/// // This is a room of 25 °C.
/// assert_eq!(image, [0.5; PIXELS]);
/// # i2c.done();
/// # Ok::<(), CameraError<embedded_hal::i2c::ErrorKind>>(())
/// ```
#[derive(Debug)]
pub struct Camera<B> {
    bus: B,
    address: Address,
    coldest: f32,
    warmest: f32,
}

impl<B: I2c> Camera<B> {
    /// A camera whose images are 0 at the coldest temperature and 1 at the warmest, both in °C. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if the temperatures are not from -55 to 125 °C, or the first is not below the second.
    pub fn new(bus: B, address: Address, coldest: f32, warmest: f32) -> Result<Self, Error> {
        let (least, most) = FORMAT;
        if !(celsius(least) <= coldest && coldest < warmest && warmest <= celsius(most)) {
            return Err(Error::OutOfRange {
                what: "the temperatures of black and white",
                range: "-55.0..=125.0, in this order",
            });
        }
        Ok(Self {
            bus,
            address,
            coldest,
            warmest,
        })
    }

    /// Wakes the device up, resets it, and waits for its first images at ten per second: a quarter of a second.
    ///
    /// The device's temperatures are stable 15 seconds after power-on.
    ///
    /// # Errors
    ///
    /// [`CameraError::Bus`].
    pub fn start(&mut self, delay: &mut impl DelayNs) -> Result<(), CameraError<B::Error>> {
        self.write(settings::NORMAL_MODE)?;
        delay.delay_ms(WAKE_UP_MS);
        self.write(settings::INITIAL_RESET)?;
        delay.delay_ms(RESET_MS);
        self.write(settings::FLAG_RESET)?;
        self.write(settings::TEN_FRAMES_PER_SECOND)?;
        delay.delay_ms(FIRST_FRAMES_MS);
        Ok(())
    }

    /// Reads what the camera sees now.
    ///
    /// # Errors
    ///
    /// [`CameraError::Bus`] and [`CameraError::Pixel`]. The image is then as it was.
    pub fn read_image(&mut self, image: &mut [f32; PIXELS]) -> Result<(), CameraError<B::Error>> {
        let mut bytes = [0; 2 * PIXELS];
        let read = self
            .bus
            .write_read(self.address as u8, &[FIRST_PIXEL], &mut bytes);
        read.map_err(CameraError::Bus)?;
        let (words, _) = bytes.as_chunks();
        for (pixel, word) in words.iter().enumerate() {
            let found = u16::from_le_bytes(*word);
            if quarters(found).is_none() {
                return Err(CameraError::Pixel { pixel, found });
            }
        }
        let temperatures = words
            .iter()
            .filter_map(|word| quarters(u16::from_le_bytes(*word)));
        for (value, temperature) in image.iter_mut().zip(temperatures) {
            let above = celsius(temperature) - self.coldest;
            *value = (above / (self.warmest - self.coldest)).clamp(0.0, 1.0);
        }
        Ok(())
    }

    /// What the camera sees whenever it is read, as a data set of one sample that belongs to class `label`.
    ///
    /// A minibatch may read it several times: each is an image of its own.
    pub fn labelled(&mut self, label: usize) -> Labelled<'_, B> {
        Labelled {
            camera: self,
            label,
        }
    }

    /// The bus, for other devices on it.
    pub fn into_bus(self) -> B {
        self.bus
    }

    fn write(&mut self, setting: [u8; 2]) -> Result<(), CameraError<B::Error>> {
        let written = self.bus.write(self.address as u8, &setting);
        written.map_err(CameraError::Bus)
    }
}

/// A temperature in quarters of a degree, from two's complement in 12 bits; none if it is outside of its [`FORMAT`].
fn quarters(word: u16) -> Option<i16> {
    // The sign is bit 11: above it there is nothing.
    let sign = i16::try_from(word & 0x800).ok()?;
    let magnitude = i16::try_from(word & 0x7ff).ok()?;
    let temperature = magnitude - sign;
    let (least, most) = FORMAT;
    (word < 0x1000 && (least..=most).contains(&temperature)).then_some(temperature)
}

/// Exact: of 12 bits, none is lost.
fn celsius(quarters: i16) -> f32 {
    f32::from(quarters) * 0.25
}

/// What a [`Camera`] sees, and its class: by [`Camera::labelled`].
#[derive(Debug)]
pub struct Labelled<'c, B> {
    camera: &'c mut Camera<B>,
    label: usize,
}

impl<B: I2c> Dataset for Labelled<'_, B> {
    type Error = CameraError<B::Error>;

    fn len(&self) -> usize {
        1
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        if index != 0 {
            return Err(CameraError::Sample(Error::Index {
                len: 1,
                found: index,
            }));
        }
        let found = input.len();
        let image = input.try_into().map_err(|_| {
            CameraError::Sample(Error::Length {
                buffer: Buffer::Input,
                expected: PIXELS,
                found,
            })
        })?;
        self.camera.read_image(image)?;
        target.set_class(self.label);
        Ok(())
    }
}
