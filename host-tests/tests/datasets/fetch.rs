//! Downloads from a server that serves, cuts off, stalls and lies.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use lightlayers_datasets::{Archive, FetchError, Fetched, Fetcher, Set, Sha256};

use crate::files::{folder, gzip, idx};
use crate::server::{Answer, Server, length};

/// More than is read at once, and different everywhere.
fn content() -> Vec<u8> {
    (0..200_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

const NAME: &str = "data.bin";

/// A folder, a server and the file that should come from one to the other.
struct Case {
    folder: PathBuf,
    server: Server,
    content: Vec<u8>,
}

impl Case {
    fn new(test: &str, answers: Vec<Answer>) -> Result<Self> {
        Ok(Self {
            folder: folder(test)?,
            server: Server::start(answers)?,
            content: content(),
        })
    }

    fn fetch(&self) -> Result<Fetched, FetchError> {
        self.fetch_within(Duration::from_secs(10), |_| {})
    }

    fn fetch_within(
        &self,
        timeout: Duration,
        progress: impl FnMut(u64),
    ) -> Result<Fetched, FetchError> {
        let archive = Archive {
            name: NAME,
            url: &self.server.url(NAME),
            size: self.content.len() as u64,
            sha256: Sha256::of(&self.content),
        };
        Fetcher::with_timeout(timeout).fetch(&archive, &self.folder, progress)
    }

    fn file(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    fn part(&self) -> PathBuf {
        self.folder.join(format!("{NAME}.part"))
    }

    /// The file is there and right, and nothing else is.
    fn assert_finished(&self) -> Result<()> {
        assert!(fs::read(self.file())? == self.content);
        assert!(!self.part().exists());
        Ok(())
    }

    /// The file is not there; so much of it is.
    fn assert_unfinished(&self, bytes: Option<usize>) -> Result<()> {
        assert!(!self.file().exists());
        let part = self.part().exists().then(|| fs::read(self.part()));
        assert!(part.transpose()?.as_deref() == bytes.map(|bytes| &self.content[..bytes]));
        Ok(())
    }

    /// An error's text, with the address as `URL`.
    fn error(&self) -> Result<String> {
        let error = self.fetch().err().context("expected an error")?;
        Ok(error.to_string().replace(&self.server.url(NAME), "URL"))
    }
}

fn downloaded(resumed_at: usize) -> Fetched {
    Fetched::Downloaded {
        resumed_at: resumed_at as u64,
    }
}

#[test]
fn a_file_is_downloaded_once() -> Result<()> {
    let mut case = Case::new("fetch-once", vec![Answer::whole(&content())])?;
    // A folder that is not there yet.
    case.folder = case.folder.join("a/b");
    let mut steps = Vec::new();
    let fetched = case.fetch_within(Duration::from_secs(10), |bytes| steps.push(bytes))?;
    assert_eq!(fetched, downloaded(0));
    case.assert_finished()?;
    assert!(steps.len() > 3 && steps.is_sorted(), "{steps:?}");
    assert_eq!((steps[0], steps.last()), (0, Some(&200_000)));
    assert_eq!(case.server.ranges(), [""]);

    assert_eq!(case.fetch()?, Fetched::AlreadyThere);
    assert_eq!(case.server.ranges(), [] as [&str; 0]);
    case.assert_finished()
}

#[test]
fn a_download_that_was_cut_off_goes_on_where_it_ended() -> Result<()> {
    let body = content();
    let answers = vec![
        Answer::whole(&body).cut(150_000),
        Answer::rest(&body, 50_000).cut(1),
        Answer::rest(&body, 199_999),
    ];
    let case = Case::new("fetch-resume", answers)?;
    assert!(
        case.error()?
            .starts_with("URL: expected 200000 bytes, found 50000 (")
    );
    case.assert_unfinished(Some(50_000))?;
    assert!(
        case.error()?
            .ends_with("); run it again to go on from there")
    );
    case.assert_unfinished(Some(199_999))?;
    assert_eq!(case.fetch()?, downloaded(199_999));
    case.assert_finished()?;
    let ranges = ["", "bytes=50000-", "bytes=199999-"];
    assert_eq!(case.server.ranges(), ranges);
    Ok(())
}

#[test]
fn a_body_without_a_length_may_be_cut_off_too() -> Result<()> {
    let body = content();
    let answers = vec![
        Answer::new("200 OK", &["Connection: close".into()], &body[..70_000]),
        Answer::new(
            "206 Partial Content",
            &["Content-Range: bytes 70000-199999/*".into()],
            &body[70_000..],
        ),
    ];
    let case = Case::new("fetch-no-length", answers)?;
    assert_eq!(
        case.error()?,
        "URL: expected 200000 bytes, found 70000 (the connection ended); run it again to go on from there"
    );
    case.assert_unfinished(Some(70_000))?;
    assert_eq!(case.fetch()?, downloaded(70_000));
    case.assert_finished()
}

#[test]
fn a_server_without_ranges_starts_again() -> Result<()> {
    let body = content();
    for (name, answers, ranges) in [
        ("ignores", vec![Answer::whole(&body)], vec!["bytes=1000-"]),
        (
            "refuses",
            vec![
                Answer::new("416 Range Not Satisfiable", &[length(0)], &[]),
                Answer::whole(&body),
            ],
            vec!["bytes=1000-", ""],
        ),
    ] {
        let case = Case::new(&format!("fetch-range-{name}"), answers)?;
        // What is there is not even the file's start.
        fs::write(case.part(), [7; 1000])?;
        assert_eq!(case.fetch()?, downloaded(0));
        assert_eq!(case.server.ranges(), ranges);
        case.assert_finished()?;
    }
    Ok(())
}

#[test]
fn what_is_there_already_is_checked_like_what_comes() -> Result<()> {
    let body = content();
    // Complete but for its name: no request.
    let case = Case::new("fetch-complete", vec![Answer::whole(&body)])?;
    fs::write(case.part(), &body)?;
    assert_eq!(case.fetch()?, downloaded(body.len()));
    assert_eq!(case.server.ranges(), [] as [&str; 0]);
    case.assert_finished()?;

    // Longer than the file: of no use.
    let case = Case::new("fetch-too-much", vec![Answer::whole(&body)])?;
    fs::write(case.part(), [&body[..], &[0]].concat())?;
    assert_eq!(case.fetch()?, downloaded(0));
    assert_eq!(case.server.ranges(), [""]);
    case.assert_finished()?;

    // The start of something else, to which the right end comes: the server is asked for the whole file, and not blamed.
    let answers = vec![Answer::rest(&body, 1000), Answer::whole(&body)];
    let case = Case::new("fetch-other-start", answers)?;
    fs::write(case.part(), [7; 1000])?;
    assert_eq!(case.fetch()?, downloaded(0));
    assert_eq!(case.server.ranges(), ["bytes=1000-", ""]);
    case.assert_finished()?;

    // Something else of the right length.
    let case = Case::new("fetch-other-whole", vec![Answer::whole(&body)])?;
    fs::write(case.part(), vec![7; body.len()])?;
    assert_eq!(case.fetch()?, downloaded(0));
    assert_eq!(case.server.ranges(), [""]);
    case.assert_finished()?;

    // Another file under the final name is not touched.
    let case = Case::new("fetch-other-file", vec![Answer::whole(&body)])?;
    fs::write(case.file(), b"abc")?;
    assert_eq!(
        case.error()?,
        format!(
            "{}: expected the official file with SHA-256 {}, found {}; move it away to download the official one",
            case.file().display(),
            Sha256::of(&body),
            // FIPS 180-4's example.
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )
    );
    assert_eq!(fs::read(case.file())?, b"abc");
    assert!(!case.part().exists());
    Ok(())
}

#[test]
fn other_content_of_the_right_length_is_removed() -> Result<()> {
    let body = content();
    for bit in [0, 799_999, 1_599_999] {
        let mut other = body.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        let case = Case::new("fetch-lie", vec![Answer::whole(&other)])?;
        assert_eq!(
            case.error()?,
            format!(
                "URL: expected SHA-256 {}, found {}; the download is removed",
                Sha256::of(&body),
                Sha256::of(&other)
            )
        );
        case.assert_unfinished(None)?;
    }
    Ok(())
}

#[test]
fn a_wrong_size_is_an_error_before_anything_is_written() -> Result<()> {
    let body = content();
    let total = |total: &str| {
        let range = format!("Content-Range: bytes 1000-199999/{total}");
        Answer::new(
            "206 Partial Content",
            &[length(199_000), range],
            &body[1000..],
        )
    };
    for (there, answer, found) in [
        (0, Answer::whole(&body[..100]), 100),
        (1000, Answer::whole(&body[..100]), 100),
        (0, Answer::new("200 OK", &[length(200_001)], &body), 200_001),
        (
            0,
            Answer::new(
                "200 OK",
                &["Content-Length: 18446744073709551615".into()],
                &body,
            ),
            u64::MAX,
        ),
        (1000, total("200001"), 200_001),
    ] {
        let case = Case::new("fetch-size", vec![answer])?;
        if there > 0 {
            fs::write(case.part(), &body[..there])?;
        }
        assert_eq!(
            case.error()?,
            format!("URL: expected a file of 200000 bytes, found one of {found}")
        );
        case.assert_unfinished((there > 0).then_some(there))?;
    }
    Ok(())
}

#[test]
fn more_than_the_file_is_an_error_even_if_nothing_announced_it() -> Result<()> {
    let mut long = content();
    long.push(0);
    let answer = Answer::new("200 OK", &["Connection: close".into()], &long);
    let case = Case::new("fetch-long", vec![answer])?;
    assert_eq!(
        case.error()?,
        "URL: expected the end after 200000 bytes, found more"
    );
    case.assert_unfinished(None)
}

#[test]
fn another_range_than_the_one_asked_for_is_an_error() -> Result<()> {
    let body = content();
    let partial = |range: &[&str]| {
        let range = range.iter().map(|range| format!("Content-Range: {range}"));
        let headers: Vec<_> = range.chain([length(199_000)]).collect();
        Answer::new("206 Partial Content", &headers, &body[1000..])
    };
    for (there, range, found) in [
        (
            1000,
            &["bytes 999-199999/200000"][..],
            "bytes 999-199999/200000",
        ),
        (1000, &["bytes 0-199999/200000"], "bytes 0-199999/200000"),
        (0, &["bytes 1000-199999/200000"], "bytes 1000-199999/200000"),
        (1000, &["bytes */200000"], "bytes */200000"),
        (1000, &["bytes 1000-199999/many"], "bytes 1000-199999/many"),
        (
            1000,
            &["items 1000-199999/200000"],
            "items 1000-199999/200000",
        ),
        (1000, &[""], ""),
        (1000, &[], ""),
    ] {
        let case = Case::new("fetch-other-range", vec![partial(range)])?;
        if there > 0 {
            fs::write(case.part(), &body[..there])?;
        }
        assert_eq!(
            case.error()?,
            format!("URL: expected the bytes from {there} on, found the range {found:?}")
        );
        case.assert_unfinished((there > 0).then_some(there))?;
    }
    Ok(())
}

#[test]
fn a_status_that_is_no_success_is_an_error() -> Result<()> {
    for status in [
        "204 No Content",
        "403 Forbidden",
        "404 Not Found",
        "416 Range Not Satisfiable",
        "503 Service Unavailable",
    ] {
        let answer = Answer::new(status, &[length(4)], b"page");
        let case = Case::new("fetch-status", vec![answer.clone()])?;
        let text = format!(
            "URL: expected HTTP status 200 or 206, found {}",
            &status[..3]
        );
        assert_eq!(case.error()?, text);
        case.assert_unfinished(None)?;
        fs::write(case.part(), &case.content[..10])?;
        assert_eq!(case.error()?, text);
        // A server that says twice that no part can be read may not have the file at all.
        let kept = (!status.starts_with("416")).then_some(10);
        case.assert_unfinished(kept)?;
    }
    Ok(())
}

#[test]
fn a_redirection_is_followed() -> Result<()> {
    let body = content();
    let target = Server::start(vec![Answer::whole(&body)])?;
    let location = format!("Location: {}", target.url("elsewhere"));
    let answer = Answer::new("302 Found", &[location, length(0)], &[]);
    let case = Case::new("fetch-redirect", vec![answer])?;
    assert_eq!(case.fetch()?, downloaded(0));
    case.assert_finished()?;

    // In a circle: an end is found.
    let case = Case::new(
        "fetch-circle",
        vec![Answer::new(
            "302 Found",
            &["Location: /data.bin".into(), length(0)],
            &[],
        )],
    )?;
    assert!(matches!(case.fetch(), Err(FetchError::Connection { .. })));
    case.assert_unfinished(None)
}

#[test]
fn a_server_that_stalls_is_given_up() -> Result<()> {
    let body = content();
    let before_the_answer = Answer {
        stalls: true,
        ..Answer::default()
    };
    let within_the_body = Answer {
        stalls: true,
        ..Answer::whole(&body).cut(120_000)
    };
    for (answer, kept) in [(before_the_answer, None), (within_the_body, Some(80_000))] {
        let case = Case::new("fetch-stall", vec![answer])?;
        let error = case
            .fetch_within(Duration::from_millis(300), |_| {})
            .err()
            .context("stalled")?;
        match error {
            FetchError::Connection { .. } if kept.is_none() => {}
            FetchError::Interrupted { found: 80_000, .. } if kept.is_some() => {}
            error => return Err(error.into()),
        }
        case.assert_unfinished(kept)?;
    }
    Ok(())
}

/// A byte every 20 ms is never nothing for 300 ms, but would take an hour.
#[test]
fn a_server_that_is_too_slow_is_given_up() -> Result<()> {
    let trickle = Answer {
        trickles: true,
        ..Answer::whole(&content())
    };
    let case = Case::new("fetch-trickle", vec![trickle])?;
    let error = case.fetch_within(Duration::from_millis(300), |_| {});
    match error.err().context("too slow")? {
        FetchError::Interrupted { found, cause, .. } => {
            assert_eq!(cause.kind(), ErrorKind::TimedOut);
            assert!(found > 0);
        }
        error => return Err(error.into()),
    }
    Ok(())
}

/// Whatever has the name of an unfinished file is written to only if it is a file.
#[cfg(unix)]
#[test]
fn an_unfinished_file_that_is_no_file_is_an_error() -> Result<()> {
    let case = Case::new("fetch-part-is-link", vec![Answer::whole(&content())])?;
    let other = case.folder.join("other");
    fs::write(&other, b"of somebody else")?;
    std::os::unix::fs::symlink(&other, case.part())?;
    assert!(matches!(case.fetch(), Err(FetchError::Io { file, .. }) if file == case.part()));
    assert_eq!(fs::read(&other)?, b"of somebody else");

    let case = Case::new("fetch-pipes", vec![Answer::whole(&content())])?;
    for pipe in [case.part(), case.file()] {
        let made = Command::new("mkfifo").arg(&pipe).status()?;
        assert!(made.success());
        assert!(matches!(case.fetch(), Err(FetchError::Io { file, .. }) if file == pipe));
    }
    Ok(())
}

#[test]
fn no_server_or_no_http_is_an_error() -> Result<()> {
    for bytes in [&b""[..], b"\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n", &[0xff; 100]] {
        let answer = Answer {
            bytes: bytes.into(),
            ..Answer::default()
        };
        let case = Case::new("fetch-no-http", vec![answer])?;
        assert!(
            matches!(case.fetch(), Err(FetchError::Connection { .. })),
            "{bytes:?}"
        );
        case.assert_unfinished(None)?;
    }

    let case = Case::new("fetch-no-server", vec![Answer::whole(&content())])?;
    let fetch = |url: &str| {
        let archive = Archive {
            name: NAME,
            url,
            size: 1,
            sha256: Sha256([0; 32]),
        };
        Fetcher::new().fetch(&archive, &case.folder, |_| {})
    };
    // This server does not speak TLS: no file without a secure connection where one was asked for.
    let over_tls = case.server.url(NAME).replace("http:", "https:");
    for url in [
        over_tls.as_str(),
        "no address",
        "ftp://127.0.0.1/data.bin",
        "",
    ] {
        assert!(
            matches!(fetch(url), Err(FetchError::Connection { .. })),
            "{url}"
        );
    }
    case.assert_unfinished(None)
}

#[test]
fn a_file_system_that_refuses_is_an_error() -> Result<()> {
    // A file where the folder should be.
    let mut case = Case::new("fetch-no-folder", vec![Answer::whole(&content())])?;
    fs::write(case.folder.join("file"), [])?;
    case.folder = case.folder.join("file");
    let is_io_error_of = |result, path: &Path| matches!(result, Err(FetchError::Io { file, .. }) if file.starts_with(path));
    assert!(is_io_error_of(case.fetch(), &case.folder));
    // A folder where the unfinished file should be.
    let case = Case::new("fetch-part-is-folder", vec![Answer::whole(&content())])?;
    fs::create_dir(case.part())?;
    assert!(is_io_error_of(case.fetch(), &case.part()));
    // A second download of the same file.
    let case = Case::new("fetch-busy", vec![Answer::whole(&content())])?;
    let other = File::create(case.part())?;
    other.lock()?;
    assert!(matches!(case.fetch(), Err(FetchError::Busy { part }) if part == case.part()));
    drop(other);
    assert_eq!(case.fetch()?, downloaded(0));
    case.assert_finished()
}

/// The addresses are HTTPS, and the names are those that the readers look for.
#[test]
fn the_official_archives_are_those_that_are_read() -> Result<()> {
    for set in Set::ALL {
        let names: Vec<_> = set.archives().iter().map(|archive| archive.name).collect();
        for archive in set.archives() {
            assert!(archive.url.starts_with("https://") && archive.url.ends_with(archive.name));
        }
        match set {
            Set::Mnist | Set::FashionMnist => assert_eq!(names.len(), 4),
            Set::Cifar10 | Set::Cifar100 => {
                assert_eq!(names, [format!("{}-binary.tar.gz", set.key())]);
            }
        }
        assert_eq!(set.key().replace('-', "").parse(), Ok(set));
    }

    // Small files under these names, from the server to the images.
    let root = folder("fetch-and-read")?;
    for archive in Set::Mnist.archives() {
        let sizes: &[u32] = if archive.name.contains("images") {
            &[1, 28, 28]
        } else {
            &[1]
        };
        let body = gzip(&idx(
            sizes,
            &vec![3; sizes.iter().product::<u32>() as usize],
        ))?;
        let server = Server::start(vec![Answer::whole(&body)])?;
        let small = Archive {
            url: &server.url(archive.name),
            size: body.len() as u64,
            sha256: Sha256::of(&body),
            ..*archive
        };
        Fetcher::new().fetch(&small, &root.join(Set::Mnist.key()), |_| {})?;
    }
    let mnist = lightlayers_datasets::mnist(&root)?;
    assert_eq!(
        (mnist.training.labels(), mnist.testing.labels()),
        (&[3][..], &[3][..])
    );
    Ok(())
}
