//! The end of the process: what clients get that still wait.

use super::*;

#[test]
fn at_the_end_all_who_wait_get_what_there_is() {
    let mut w = world(&["10.0.0.2"]);
    w.ask("stale.example");
    w.answer(address(1, 1));
    w.until(5_000);
    w.answered();
    let probe = w.probes.pop().unwrap();
    w.take(&probe, LISTENER);
    w.ask("stale.example");
    w.ask("new.example");
    assert!(!w.forwarder.is_done());
    w.forwarder.finish(w.now);
    w.act();
    let mut answers: Vec<_> = w.answered().iter().map(|answer| read(answer)).collect();
    answers.sort_unstable();
    assert_eq!(answers, [(0, Some(1), Some(3)), (2, None, Some(22)), (2, None, Some(23))]);
    assert!(w.forwarder.is_done());
}

#[test]
fn hits_are_answered_while_misses_are_waited_for() {
    let mut w = world(&["10.0.0.2"]);
    w.ask("www.example");
    w.answer(address(1, 60));
    w.ask("slow.example");
    assert!(!w.forwarder.is_done() && w.ask("www.example").is_some());
    w.answer(address(2, 60));
    assert!(w.forwarder.is_done());
}

#[test]
fn what_one_in_quarantine_passes_on_of_our_own_words_is_told_as_the_loop_that_it_is() {
    let mut w = world(&["10.0.0.2"]);
    w.ask("www.example");
    let asked = w.sent.len() - 1;
    let mut probes = w.probes.drain(..1).collect::<Vec<_>>();
    while let Some(probe) = probes.pop() {
        w.take(&probe, LISTENER);
        let nonce = guard::probe::nonce(&probe[12..crate::wire::name_end(&probe, 12).unwrap()]).unwrap();
        let heard = Some(guard::probe::ProbeReply { own: false, spelling_kept: true });
        w.driver.step(None, (w.now, None), |_, _, _, _| ());
        let over = guard::Event::ProbeOver { nonce, heard };
        w.driver.step(Some(over), (w.now, None), |_, _, over, probe| {
            probes.extend((over == crate::upstream::Transport::Udp).then_some(probe));
        });
    }
    assert_eq!(w.forwarder.shared().guard.verdicts().all().len(), 1);
    w.answered();
    w.answer_to(asked, failure); // before this worker hears of the verdict
    assert_eq!(w.answered().iter().map(|answer| read(answer)).collect::<Vec<_>>(), [(2, None, Some(23))]);
}

#[test]
fn a_query_of_an_earlier_process_has_no_more_time_than_its_client() {
    let mut w = world(&["10.0.0.2"]);
    let packet = query("www.example", 7);
    let left = |w: &mut World, name: &[u8], ms: u64| {
        let (mut out, deadline) = (vec![], w.now + Duration::from_millis(ms));
        w.forwarder.begin_batch(w.now);
        let incoming = Incoming { packet: name, from: CLIENT, ingress: LISTENER };
        let reply = w.forwarder.handle_left_query(&incoming, deadline, &mut out);
        w.act();
        reply
    };
    assert_eq!((left(&mut w, &packet, 700), w.sent.len()), (Reply::Later, 1));
    w.until(690);
    assert_eq!(w.answered(), [[0; 0]; 0], "there is time left");
    w.until(700);
    assert_eq!(w.answered().iter().map(|answer| read(answer).0).collect::<Vec<_>>(), [rcode::SERVFAIL]);
    // One that comes now by itself has all of it.
    assert_eq!(w.ask("other.example"), None);
    w.until(2_400);
    assert_eq!(w.answered().len(), 0);
    w.until(2_500);
    assert_eq!(w.answered().len(), 1);

    let sent = w.sent.len();
    let late = query("late.example", 8);
    assert_eq!(left(&mut w, &late, 0), Reply::None, "its client has given up");
    assert_eq!((w.sent.len(), w.answered().len()), (sent, 0));
}
