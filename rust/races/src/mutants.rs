// (Included by build.rs as well.)

/// A fault put into one of the client's files.
pub struct Mutant {
    /// Says what is wrong with it.
    pub name: &'static str,
    /// The file.
    pub module: &'static str,
    /// Its lines, which are there once.
    pub from: &'static str,
    /// What stands in their place.
    pub to: &'static str,
    /// A model that has to find it.
    pub found_by: &'static str,
}

const fn mutant(
    name: &'static str,
    found_by: &'static str,
    module: &'static str,
    from: &'static str,
    to: &'static str,
) -> Mutant {
    Mutant { name, module, from, to, found_by }
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    // ---- the queue
    mutant(
        "an_item_is_pushed_after_the_wake_up",
        "queue_loses_nothing",
        "queue",
        "        let _ = self.sender.send(item);\n        self.wake();\n",
        "        self.wake();\n        let _ = self.sender.send(item);\n",
    ),
    mutant(
        "clear_does_not_look_again",
        "queue_loses_nothing",
        "queue",
        "if !self.receiver.is_empty() || !self.records.is_empty() {",
        "if false {",
    ),
    mutant(
        "clear_does_not_look_for_records",
        "queue_loses_no_record",
        "queue",
        "if !self.receiver.is_empty() || !self.records.is_empty() {",
        "if !self.receiver.is_empty() {",
    ),
    mutant(
        "clear_takes_the_note_after_it_has_disarmed",
        "queue_loses_nothing_on_an_eventfd",
        "queue",
        "        if !self.take_note() {\n            self.overdue.fetch_add(1, SeqCst);\n        }\n        self.armed.store(false, SeqCst);\n",
        "        self.armed.store(false, SeqCst);\n        if !self.take_note() {\n            self.overdue.fetch_add(1, SeqCst);\n        }\n",
    ),
    mutant(
        "a_note_that_comes_late_is_forgotten",
        "queue_is_quiet_after_the_last_item",
        "queue",
        "self.overdue.fetch_add(1, SeqCst);",
        "();",
    ),
    mutant(
        "a_former_notify_is_not_waited_for",
        "queue_does_not_call_a_former_notify",
        "queue",
        "*self.notify.lock().unwrap_or_else(PoisonError::into_inner) = notify;",
        "if notify.is_some() {\n*self.notify.lock().unwrap_or_else(PoisonError::into_inner) = notify;\n}",
    ),
    mutant(
        "a_resync_that_is_taken_makes_no_room",
        "backlog_says_what_it_drops",
        "backlog",
        "self.backlog.overflowed.store(false, SeqCst);",
        "();",
    ),
    // ---- who sleeps, and who wakes him
    mutant(
        "the_io_thread_says_that_it_sleeps_when_others_may_have_looked",
        "calls_in_succession",
        "engine",
        "        agenda.sleeping_until = Some(",
        "        drop(agenda);\n        self.agenda().sleeping_until = Some(",
    ),
    mutant(
        "an_earlier_timer_wakes_nobody",
        "timers_of_two_handles",
        "engine",
        "        if wake {\n",
        "        if wake && at == Time::default() {\n",
    ),
    mutant(
        "a_timer_that_is_not_due_is_dropped",
        "timers_of_two_handles",
        "engine",
        "                agenda.timers.insert((at, id));\n                break;\n",
        "                break;\n",
    ),
    mutant(
        "a_name_is_said_to_be_resolved_before_it_is",
        "call_with_a_name_to_be_resolved",
        "resolver",
        "            this.names\n",
        "            done();\n            let done = || ();\n            this.names\n",
    ),
    mutant(
        "all_who_wait_are_answered_and_not_woken",
        "calls_in_succession",
        "slots",
        "            wake |= slot.parked;\n",
        "",
    ),
    // ---- who reads
    mutant(
        "a_follower_is_answered_and_not_woken",
        "calls_of_two_threads",
        "core",
        "let wake = self.slots.answer(Ticket(token), result);",
        "let wake = self.slots.answer(Ticket(token), result) && false;",
    ),
    mutant(
        "a_lead_is_kept_although_others_wait",
        "calls_of_two_threads",
        "core",
        " && !self.slots.somebody_parked()",
        "",
    ),
    mutant(
        "a_lead_is_given_back_and_nobody_listens",
        "events_when_nobody_waits",
        "core",
        "        self.listen();\n        self.plan();\n    }\n\n    /// A leading caller's poll",
        "        self.plan();\n    }\n\n    /// A leading caller's poll",
    ),
    mutant(
        "a_lead_is_given_back_and_nobody_is_told",
        "events_when_nobody_waits",
        "core",
        "        self.listen();\n        self.plan();\n    }\n\n    /// A leading caller's poll",
        "    }\n\n    /// A leading caller's poll",
    ),
    mutant(
        "a_kept_lead_is_looked_at_too_early_and_not_again",
        "events_when_nobody_waits",
        "core",
        "                self.go_on_probing(now);\n                return self.plan();\n",
        "                self.go_on_probing(now);\n                return;\n",
    ),
    mutant(
        "a_lead_stays_kept_when_something_is_posted",
        "posts_beside_a_call",
        "core",
        "            self.lead = Lead::Engine; // nobody comes back for this answer\n",
        "",
    ),
    mutant(
        "who_leads_is_not_alone_in_listening",
        "hang_up_that_the_leader_does_not_look_at",
        "core",
        "            self.lead = Lead::Caller(ticket);\n            self.listen();\n",
        "            self.lead = Lead::Caller(ticket);\n",
    ),
    mutant(
        "a_hang_up_is_listened_to_again",
        "hang_up_that_the_leader_does_not_look_at",
        "core",
        "if self.lead != Lead::Engine && !self.write_blocked {",
        "if false {",
    ),
    mutant(
        "what_is_held_back_is_forgotten",
        "posts_that_nobody_flushes",
        "core",
        "let flush = self.held_since.map(|since| since + HOLD);",
        "let flush = None;",
    ),
    mutant(
        "a_one_shot_entry_is_thought_to_be_there_when_it_is_spent",
        "write_that_blocks",
        "conn",
        "            self.interest = None;\n",
        "",
    ),
    mutant(
        "a_signal_handler_runs_and_the_lead_is_not_given_up",
        "calls_of_signal_handlers",
        "handle",
        "self.lock().release_lead(None, clock::now(), false);",
        "",
    ),
    mutant(
        "a_call_that_is_given_up_takes_the_lead_along",
        "call_that_a_signal_handler_ends",
        "handle",
        "        core.release_lead(Some(ticket), now, false);\n",
        "",
    ),
    mutant(
        "what_a_signal_handler_has_posted_stays_held_back",
        "posts_of_a_signal_handler",
        "handle",
        "core.send_held_back(now);",
        "",
    ),
];
