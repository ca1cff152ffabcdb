//! Downloads of official files, which are kept only if they are what they must be.

mod archive;
mod error;
mod part;

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

pub use archive::{Archive, Sha256};
pub use error::FetchError;
use part::{Part, io_error, measure};

/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

/// Bytes that a server must send in a second.
const SLOWEST: u64 = 1024;

/// Downloads files over HTTP and HTTPS.
///
/// A file is written to `NAME.part`, and gets its name only after all its bytes came and have the right SHA-256. A download that was cut
/// off goes on where it ended, if the server can do that, and starts again if it cannot. A proxy is taken from the usual environment
/// variables, the trusted certificates from the operating system.
#[derive(Clone, Debug)]
pub struct Fetcher {
    agent: Agent,
    timeout: Duration,
}

/// What [`Fetcher::fetch`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fetched {
    /// Nothing: the official file was there, and its hash is right.
    AlreadyThere,
    /// Downloaded it.
    Downloaded {
        /// The bytes that were there from an earlier download.
        resumed_at: u64,
    },
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::new()
    }
}

impl Fetcher {
    /// Gives up on a server that sends nothing for 30 seconds.
    pub fn new() -> Self {
        Self::with_timeout(Duration::from_secs(30))
    }

    /// Gives up on a server that sends nothing for that long: to connect, to answer, or in the middle of a file. Also on one that sends
    /// less than 1 KiB for each second of it. A file that comes faster may take its time.
    pub fn with_timeout(timeout: Duration) -> Self {
        let (pace, timeout) = (timeout, Some(timeout));
        let certificates = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        let config = Agent::config_builder()
            .tls_config(certificates.build())
            .http_status_as_error(false)
            .timeout_resolve(timeout)
            .timeout_connect(timeout)
            .timeout_send_request(timeout)
            .timeout_recv_response(timeout)
            .timeout_per_read(timeout);
        Self {
            agent: config.build().into(),
            timeout: pace,
        }
    }

    /// Downloads a file into a folder, which is made if it is not there. `progress` gets the number of bytes that are there, again and again.
    ///
    /// A file of this name that is there already is hashed, and left alone whatever it is.
    ///
    /// # Errors
    ///
    /// [`FetchError`] says what was wrong; [`FetchError::Interrupted`] is worth another try.
    pub fn fetch(
        &self,
        archive: &Archive<'_>,
        folder: &Path,
        mut progress: impl FnMut(u64),
    ) -> Result<Fetched, FetchError> {
        let path = folder.join(archive.name);
        if path.try_exists().map_err(|cause| io_error(&path, cause))? {
            let (len, found) = measure(&path)?;
            if found != archive.sha256 {
                let expected = archive.sha256;
                return Err(FetchError::Different {
                    file: path,
                    expected,
                    found,
                });
            }
            progress(len);
            return Ok(Fetched::AlreadyThere);
        }

        fs::create_dir_all(folder).map_err(|cause| io_error(folder, cause))?;
        let mut part = Part::open(folder.join(format!("{}.part", archive.name)), archive.size)?;
        let mut resumed_at = part.len();
        progress(part.len());
        loop {
            // All bytes may be there already, if the last run ended before it gave the file its name.
            if part.len() < archive.size {
                match self.download(archive, &mut part, &mut progress) {
                    Ok(start) => resumed_at = start,
                    Err(error) => {
                        // Where a server sends too much, what it sent before is not the file either.
                        if part.len() == 0 || matches!(error, FetchError::TooLong { .. }) {
                            part.remove()?;
                        }
                        return Err(error);
                    }
                }
            }
            // What was there before may not be what the server has: that is not its fault.
            if part.sha256() == archive.sha256 || resumed_at == 0 {
                break;
            }
            part.clear()?;
            resumed_at = 0;
        }

        let found = part.sha256();
        if found != archive.sha256 {
            part.remove()?;
            return Err(FetchError::Checksum {
                url: archive.url.into(),
                expected: archive.sha256,
                found,
            });
        }
        part.finish(&path)?;
        Ok(Fetched::Downloaded { resumed_at })
    }

    /// Downloads what is missing; the byte at which that starts.
    fn download(
        &self,
        archive: &Archive<'_>,
        part: &mut Part,
        progress: impl FnMut(u64),
    ) -> Result<u64, FetchError> {
        let mut body = self.request(archive, part)?;
        let start = part.len();
        receive(archive, &mut body, part, self.timeout, progress)?;
        Ok(start)
    }

    /// Asks for what is missing, and checks what the server says that it sends. If that is the whole file, the part is empty afterwards.
    fn request(
        &self,
        archive: &Archive<'_>,
        part: &mut Part,
    ) -> Result<impl Read + use<>, FetchError> {
        let mut response = self.call(archive, part.len())?;
        // The server's file is not longer than what is there, or cannot be read from its middle.
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && part.len() > 0 {
            part.clear()?;
            response = self.call(archive, 0)?;
        }

        let url = || archive.url.to_owned();
        let total = match response.status() {
            StatusCode::OK => header_text(response.headers(), header::CONTENT_LENGTH)
                .parse()
                .ok(),
            StatusCode::PARTIAL_CONTENT => {
                let found = header_text(response.headers(), header::CONTENT_RANGE);
                match parse_content_range(found) {
                    Some((start, total)) if start == part.len() => total,
                    _ => {
                        return Err(FetchError::Range {
                            url: url(),
                            expected: part.len(),
                            found: found.into(),
                        });
                    }
                }
            }
            status => {
                return Err(FetchError::Status {
                    url: url(),
                    found: status.as_u16(),
                });
            }
        };
        if let Some(found) = total
            && found != archive.size
        {
            return Err(FetchError::Size {
                url: url(),
                expected: archive.size,
                found,
            });
        }
        if response.status() == StatusCode::OK {
            part.clear()?;
        }
        Ok(response.into_body().into_reader())
    }

    fn call(&self, archive: &Archive<'_>, start: u64) -> Result<Response<Body>, FetchError> {
        let mut request = self
            .agent
            .get(archive.url)
            .header(header::ACCEPT_ENCODING, "identity");
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        // A server must not lead from HTTPS to a connection that anyone can listen to.
        let https_only = archive.url.starts_with("https:");
        let request = request.config().https_only(https_only).build();
        request.call().map_err(|error| FetchError::Connection {
            url: archive.url.into(),
            cause: error.into_io(),
        })
    }
}

/// Appends the body to the part, until the file is complete and the body ends.
fn receive(
    archive: &Archive<'_>,
    body: &mut impl Read,
    part: &mut Part,
    timeout: Duration,
    mut progress: impl FnMut(u64),
) -> Result<(), FetchError> {
    let mut buffer = vec![0; BUFFER];
    let least = (SLOWEST as f64 * timeout.as_secs_f64()) as u64;
    let mut pace = (Instant::now(), part.len());
    loop {
        progress(part.len());
        let (since, len) = pace;
        if since.elapsed() >= timeout {
            if part.len() - len < least {
                let cause = io::Error::new(io::ErrorKind::TimedOut, "the connection is too slow");
                return Err(interrupted(archive, part, cause));
            }
            pace = (Instant::now(), part.len());
        }
        let bytes = match body.read(&mut buffer) {
            Ok(bytes) => buffer.get(..bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(interrupted(archive, part, cause)),
        };
        let missing = archive.size - part.len();
        match bytes.len() as u64 {
            0 if missing == 0 => return Ok(()),
            0 => {
                let cause = io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended");
                return Err(interrupted(archive, part, cause));
            }
            found if found > missing => {
                return Err(FetchError::TooLong {
                    url: archive.url.into(),
                    expected: archive.size,
                });
            }
            _ => part.append(bytes)?,
        }
    }
}

fn interrupted(archive: &Archive<'_>, part: &Part, cause: io::Error) -> FetchError {
    FetchError::Interrupted {
        url: archive.url.into(),
        expected: archive.size,
        found: part.len(),
        cause,
    }
}

/// The text of a header; empty if there is none or it is no text.
fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The first byte and the size of the whole file of `bytes 10-99/100`; the size may be unknown, `*`. RFC 9110, section 14.4.
fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((start.parse().ok()?, total))
}
