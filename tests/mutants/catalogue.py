"""Each guarantee of ARCHITECTURE.md broken on purpose: a small change to the source, and the tests that must fail."""

from __future__ import annotations

from typing import NamedTuple

ACTORS, STORE = "spark_actors/actors", "spark_actors/persistence"
GUARD, VERIFIER = "spark_actors/messaging/identity.py", "spark_actors/identity/tokens.py"
TURNS = "tests/contracts/test_turns.py"
REPOSITORY = "tests/contracts/test_repository_contract.py"
CONSTRAINTS = "tests/contracts/test_constraints_contract.py"
DISPATCHER = "tests/unit/actors/test_dispatcher.py"
RELAY = "tests/unit/messaging/test_relay.py"
OUTBOX_RELAY = "tests/unit/actors/test_outbox_relay.py"
ROUTING = "tests/unit/messaging/test_routing.py"
INGRESS = "tests/unit/actors/test_ingress.py"
CONTEXT = "tests/unit/actors/test_context_actor.py"
MONEY = "tests/unit/domain/test_money_conservation.py"
READS = "tests/integration/persistence/test_relay_reads.py"
FENCES = "tests/contracts/test_fences.py"
REFUSALS = "tests/contracts/test_refusals.py"
REUSED = "tests/contracts/test_reused_ids.py"
BY_HAND = "tests/contracts/test_by_hand.py"
WEEKS = "tests/integration/persistence/test_inbox_weeks.py"
COMMIT = "tests/integration/persistence/test_turn_commit.py"
IDENTITY = "tests/unit/messaging/test_identity.py"
TOKENS = "tests/unit/identity/test_tokens.py"
BROKER = "tests/integration/ingress/test_nats_broker.py"
MAINTENANCE = "tests/integration/persistence/test_maintenance.py"
CAMPAIGN = "tests/unit/domain/test_campaign.py"
SAGAS = "tests/contracts/test_saga_log_contract.py"
PROJECTION = "tests/integration/dashboard/test_postgres_projection.py"
VIEWS = "tests/integration/dashboard/test_postgres_views.py"
IDS = "tests/unit/domain/test_ids.py"
ANSWERS = "tests/unit/messaging/test_answers.py"
FITTING = "tests/integration/ingress/test_answers_that_fit.py"
BURSTS = "tests/unit/messaging/test_bursts.py"
LOGIN = "tests/unit/identity/test_login.py"
EVENTS = "tests/unit/messaging/test_cloudevents.py"
USER = "tests/unit/domain/test_user.py"
LOCKED = "tests/contracts/test_locked_keys.py"
SESSIONS = "tests/integration/persistence/test_sessions.py"
NOTHING = "pass"


class Mutant(NamedTuple):
    """One way to break a guarantee."""

    guarantee: int
    """Its number in ARCHITECTURE.md."""
    broken_by: str
    file: str
    old: str
    """Stands exactly once in the file."""
    new: str
    tests: tuple[str, ...]
    """`file::test`, each linked from the guarantee; at least one must fail."""


MUTANTS = (
    Mutant(
        1,
        "a second batch is sent to a host while the first is under way",
        f"{ACTORS}/dispatcher.py",
        "if lane.worker is None or lane.worker.done():",
        "if lane:",
        (f"{DISPATCHER}::test_what_comes_while_a_batch_is_in_flight_makes_up_the_next_one",),
    ),
    Mutant(
        1,
        "the dispatcher takes what came last first",
        f"{ACTORS}/dispatcher.py",
        "batch = [lane.parcels.popleft()]",
        "batch = [lane.parcels.pop()]",
        (f"{DISPATCHER}::test_a_large_send_is_split_into_turns_in_order",),
    ),
    Mutant(
        1,
        "each command of a turn is decided on the state before the turn",
        f"{ACTORS}/turn.py",
        "return self.current.get(key) or self.loaded[key]",
        "return self.loaded[key]",
        (f"{TURNS}::test_commands_of_one_instance_run_in_order_on_what_the_one_before_left",),
    ),
    Mutant(
        1,
        "of what waits for a locked key the last is tried first",
        f"{ACTORS}/dispatcher.py",
        "for command in key.commands][:limit]",
        "for command in reversed(key.commands)][:limit]",
        (f"{DISPATCHER}::test_a_locked_key_waits_in_order_and_all_others_go_on",),
    ),
    Mutant(
        2,
        "the events are committed in a transaction of their own, before the state",
        f"{STORE}/uow.py",
        "queued = [*self._marks, *self._changes, *self._events, *self._parked, *self._audited]",
        "self._connection.transact([*self._events], [])\n"
        "        queued = [*self._marks, *self._changes, *self._parked]",
        (f"{REPOSITORY}::test_one_stale_change_stops_the_whole_turn",),
    ),
    Mutant(
        2,
        "the inbox mark is committed in a transaction of its own, before the state",
        f"{STORE}/uow.py",
        "queued = [*self._marks, *self._changes, *self._events, *self._parked, *self._audited]",
        "self._connection.transact([*self._marks], [])\n"
        "        queued = [*self._changes, *self._events, *self._parked]",
        (f"{REPOSITORY}::test_one_stale_change_stops_the_whole_turn",),
    ),
    Mutant(
        2,
        "what is wrong with one command of a batch fails all of it",
        f"{ACTORS}/aggregate.py",
        "        if len(commands) > 1:\n            middle",
        "        if len(commands) > 1_000_000:\n            middle",
        (f"{FENCES}::test_what_raises_in_the_store_for_one_key_is_found_by_halves",),
    ),
    Mutant(
        2,
        "of two commands of a turn that want the same, the store's rule refuses neither or both",
        f"{STORE}/rules.py",
        "taken[rule.name].setdefault(claim.values, claim.key)",
        NOTHING,
        (f"{REFUSALS}::test_of_two_that_want_the_same_name_the_first_one_has_it",),
    ),
    Mutant(
        2,
        "a handler that raises ends the turn",
        f"{ACTORS}/turn.py",
        "turn.fail(envelope, _reason(error), error)",
        "raise",
        (f"{TURNS}::test_a_command_that_cannot_be_read_fails_and_only_its_key_waits",),
    ),
    Mutant(
        3,
        "no inbox mark is written",
        f"{ACTORS}/aggregate.py",
        "uow.inbox.mark(turn.marks if work.draining is None else _through(turn.marks))",
        NOTHING,
        (f"{TURNS}::test_a_redelivered_command_takes_effect_once_and_answers_the_same",),
    ),
    Mutant(
        3,
        "the inbox looks at this week only",
        f"{STORE}/sql/inbox.sql",
        "AND week < {schema}.week_of(now() - interval '5 minutes')",
        "AND false",
        (f"{MAINTENANCE}::test_a_message_of_an_earlier_week_is_still_known",),
    ),
    Mutant(
        3,
        "a letter is handled again though the inbox may have forgotten that it was",
        f"{STORE}/operator_desk.py",
        "if since is None or at < since:",
        "if since is None:",
        (f"{MAINTENANCE}::test_a_letter_is_retried_only_while_the_inbox_knows_what_was_handled_since",),
    ),
    Mutant(
        3,
        "a message is marked under one week alone, also where it ends",
        f"{STORE}/sql/inbox.sql",
        "{schema}.inbox_weeks(now()) AS week\n)",
        "LATERAL (SELECT {schema}.week_of(now()) AS week) AS this\n)",
        (f"{WEEKS}::test_at_the_end_of_a_week_only_one_of_two_hosts_handles_a_message",),
    ),
    Mutant(
        3,
        "what was remembered before ids named sources is not looked through",
        f"{STORE}/sql/inbox.sql",
        "    + {schema}.known_before(%(message_ids)s::text[])\n",
        "",
        (f"{WEEKS}::test_what_was_handled_before_is_known_under_the_ids_of_now",),
    ),
    Mutant(
        3,
        "an id is answered whatever is asked under it",
        f"{ACTORS}/aggregate.py",
        "return before.outcome if is_same else ID_REUSED",
        "return before.outcome",
        (f"{REUSED}::test_another_content_under_a_known_id_is_refused_and_does_nothing",),
    ),
    Mutant(
        3,
        "what stands twice under an id in a batch counts as the same",
        f"{ACTORS}/aggregate.py",
        "if known is not command and content_digest(known) != content_digest(command):",
        "if known is None:",
        (f"{REUSED}::test_within_one_batch_the_first_has_the_id_and_its_repetition_its_answer",),
    ),
    Mutant(
        3,
        "the id of a command that waits is free for another",
        f"{STORE}/sql/inbox.sql",
        "AND NOT %(have_waited)s::boolean",
        "AND false AND %(have_waited)s::boolean",
        (f"{REUSED}::test_an_id_of_a_command_that_waits_is_not_free_for_another",),
    ),
    Mutant(
        3,
        "two sources of one sender have one identity",
        GUARD,
        'return f"{sender} {_source_part(source)} {message_id}"',
        'return f"{sender} source {message_id}"',
        (f"{IDENTITY}::test_two_producers_of_one_sender_may_both_number_from_1",),
    ),
    Mutant(
        3,
        "a movement whose key is in the ledger is passed over, and the balance is written all the same",
        f"{STORE}/sql/accounts.sql",
        "%(recorded_at)s::timestamptz[], %(sent_by)s::text[]\n)",
        "%(recorded_at)s::timestamptz[], %(sent_by)s::text[]\n)\nON CONFLICT DO NOTHING",
        (f"{TURNS}::test_an_idempotency_key_is_remembered_beyond_the_inbox",),
    ),
    Mutant(
        3,
        "a repeated saga step sends its commands under new ids",
        f"{ACTORS}/context.py",
        "message_id=derived_id(cause.message_id, self._context.name, index),",
        "message_id=derived_id(cause.message_id, self._context.name, id(object()), id(command)),",
        (f"{CONTEXT}::test_a_repeated_step_sends_the_same_ids",),
    ),
    Mutant(
        4,
        "a row is settled when the first of its subscribers has it",
        "spark_actors/messaging/relay.py",
        "if self._waiting_for[position] == 0:",
        "if self._waiting_for[position] >= 0:",
        (f"{RELAY}::test_a_row_is_settled_only_after_each_subscriber_has_taken_it",),
    ),
    Mutant(
        4,
        "the ingress acknowledges before the commit",
        f"{ACTORS}/ingress.py",
        "        letters = [self._refused_letter(each.arrival, each.error) for each in refused if each.is_kept]\n",
        "        letters = [self._refused_letter(each.arrival, each.error) for each in refused if each.is_kept]\n"
        "        await self._broker.acknowledge([each.arrival for each in good])\n",
        (f"{INGRESS}::test_a_command_is_committed_then_answered_then_acknowledged",),
    ),
    Mutant(
        4,
        "what is refused at the door is acknowledged and not kept",
        f"{ACTORS}/ingress.py",
        "        await self._bury(letters)\n",
        "",
        (f"{INGRESS}::test_what_is_not_understood_is_kept_told_and_acknowledged_and_its_neighbours_pass",),
    ),
    Mutant(
        4,
        "an arrival that meets a bug is acknowledged and not kept",
        f"{ACTORS}/ingress.py",
        "refused.append(_Refused(arrival, self._internal(error, arrival), True))",
        "refused.append(_Refused(arrival, self._internal(error, arrival), False))",
        (f"{INGRESS}::test_an_arrival_that_meets_a_bug_is_told_and_kept_alone_and_its_neighbours_pass",),
    ),
    Mutant(
        4,
        "a turn does not write its events",
        f"{ACTORS}/aggregate.py",
        "uow.outbox.add(turn.outgoing)",
        NOTHING,
        (f"{TURNS}::test_commands_of_one_instance_run_in_order_on_what_the_one_before_left",),
    ),
    Mutant(
        4,
        "a full stream forgets its oldest messages",
        "spark_actors/ingress/nats_broker.py",
        "discard=DiscardPolicy.NEW,",
        "discard=DiscardPolicy.OLD, max_bytes=200_000,",
        (f"{BROKER}::test_a_full_stream_refuses_and_keeps_what_it_has_confirmed",),
    ),
    Mutant(
        4,
        "what the broker passes over is left behind",
        "spark_actors/ingress/nats_broker.py",
        "if first == left_before:",
        "if False:",
        (f"{BROKER}::test_a_message_that_the_server_has_passed_over_is_found_and_delivered_anew",),
    ),
    Mutant(
        5,
        "the relay overtakes a writer that commits late",
        f"{STORE}/outbox.py",
        "if self.writers is not None and not self.writers:",
        "if self.writers is not None:",
        (
            f"{READS}::test_a_writer_that_drew_its_position_first_and_wrote_last_is_not_overtaken",
            "tests/unit/persistence/test_floor.py::test_it_stays_until_a_read_after_all_who_may_hold_lower_positions_have_ended",
        ),
    ),
    Mutant(
        5,
        "later events of a key pass the one that waits for its next attempt",
        "spark_actors/messaging/relay.py",
        "if held := queue.held.get(row.envelope.key):\n                held.rows.append(row)",
        'if held := queue.held.get(row.envelope.key + "?"):\n                held.rows.append(row)',
        (f"{RELAY}::test_a_row_that_is_not_taken_holds_back_its_key_only",),
    ),
    Mutant(
        5,
        "the events of a turn are written in another order",
        f"{STORE}/sql/outbox.sql",
        "ORDER BY place",
        "ORDER BY place DESC",
        ("tests/contracts/test_outbox_contract.py::test_events_come_in_the_order_in_which_they_were_added",),
    ),
    Mutant(
        5,
        "a saga takes its next step although the one before raised",
        f"{ACTORS}/context.py",
        "                    stopped.add(item.envelope.key)\n",
        "",
        (f"{CONTEXT}::test_no_step_of_an_event_runs_before_that_of_an_earlier_one_of_its_key_that_raised",),
    ),
    Mutant(
        5,
        "later events of a key pass one that cannot be read",
        f"{ACTORS}/context.py",
        "stopped.add(envelope.key)\n        return",
        "pass\n        return",
        (f"{CONTEXT}::test_nothing_is_done_with_an_event_while_an_earlier_one_of_its_key_cannot_be_read",),
    ),
    Mutant(
        6,
        "a message that fails holds back every key",
        "spark_actors/messaging/relay.py",
        "if held := queue.held.get(row.envelope.key):\n                held.rows.append(row)",
        "if held := next(iter(queue.held.values()), None):\n                held.rows.append(row)",
        (f"{RELAY}::test_all_other_keys_flow_while_one_is_held_back",),
    ),
    Mutant(
        6,
        "later commands of a key pass the one that failed",
        f"{ACTORS}/turn.py",
        "if envelope.key in waiting:",
        "if envelope.key in ():",
        ("tests/contracts/test_parked_commands.py::test_a_command_that_fails_parks_its_key_and_no_other",),
    ),
    Mutant(
        6,
        "an instance that cannot be read takes its whole batch along",
        f"{ACTORS}/turn.py",
        'turn.fail(envelope, f"state_unreadable_{type(held.state.error).__name__}", held.state.error)',
        "raise held.state.error",
        (f"{FENCES}::test_an_instance_that_cannot_be_read_parks_its_key_and_no_other",),
    ),
    Mutant(
        6,
        "a batch that kills its host is buried whole",
        f"{ACTORS}/dispatcher.py",
        "if len(commands) == 1:",
        "if commands:",
        (
            f"{DISPATCHER}::test_a_command_that_kills_its_host_is_found_by_halves_and_buried_and_all_others_go_on_in_order",
        ),
    ),
    Mutant(
        6,
        "what was handled by a host that died is buried all the same",
        f"{ACTORS}/aggregate.py",
        "pending = [command for command in commands if command.message_id not in known]\n        blocked = set(",
        "pending = list(commands)\n        blocked = set(",
        (f"{FENCES}::test_what_is_to_be_buried_and_was_handled_after_all_answers_as_it_ended",),
    ),
    Mutant(
        6,
        "a saga step that raises takes its whole batch along",
        f"{ACTORS}/context.py",
        'refusals[item.envelope.message_id] = Refusal(f"step_raised_{type(error).__name__}")',
        "raise",
        (f"{CONTEXT}::test_a_step_that_raises_stops_no_other_event",),
    ),
    Mutant(
        6,
        "a subject that is no UTF-8 stops the ingress",
        "spark_actors/ingress/nats_client.py",
        "_build_message(sid, _readable(subject),",
        "_build_message(sid, subject,",
        (f"{BROKER}::test_a_message_that_cannot_be_read_does_not_stop_those_behind_it",),
    ),
    Mutant(
        6,
        "an event that a lock holds up is given up like poison",
        "spark_actors/messaging/relay.py",
        "if answer.receipt is Receipt.LATER:",
        "if not answer:",
        (f"{RELAY}::test_an_event_that_others_hold_up_waits_with_its_key_alone_and_is_never_given_up",),
    ),
    Mutant(
        7,
        "a debit leaves the balance as it is",
        "domain/accounting/account.py",
        "self.balance_sat - amount,",
        "self.balance_sat,",
        (f"{MONEY}::test_the_ledger_agrees_with_every_balance_after_any_command",),
    ),
    Mutant(
        7,
        "negative amounts are taken",
        "domain/shared/money.py",
        "        return 0 < value <= SUPPLY_SAT",
        "        return abs(value) <= SUPPLY_SAT",
        (f"{MONEY}::test_the_ledger_agrees_with_every_balance_after_any_command",),
    ),
    Mutant(
        7,
        "one debit may be credited and refunded",
        f"{STORE}/migrations/accounting/0002_ledger.sql",
        "ON ledger (follows) WHERE",
        "ON ledger (follows, idempotency_key) WHERE",
        (f"{CONSTRAINTS}::test_a_debit_is_credited_or_refunded_and_never_both",),
    ),
    Mutant(
        7,
        "a credit may be of more than was debited",
        f"{STORE}/migrations/accounting/0003_origins_and_follow_ups.sql",
        "      AND first.amount_sat = NEW.amount_sat\n",
        "",
        (f"{CONSTRAINTS}::test_a_movement_takes_up_what_it_follows",),
    ),
    Mutant(
        7,
        "what is in transit may be credited to anybody",
        f"{STORE}/migrations/accounting/0003_origins_and_follow_ups.sql",
        "coalesce(first.payee, NEW.credit_account)",
        "NEW.credit_account",
        (f"{CONSTRAINTS}::test_a_movement_takes_up_what_it_follows",),
    ),
    Mutant(
        7,
        "a deposit by hand keeps that of an invoice of the same id from being credited",
        "domain/accounting/account.py",
        'return f"invoice/{command.deposit_id}", MovementKind.INVOICE_DEPOSIT',
        'return f"deposit/{command.deposit_id}", MovementKind.MANUAL_DEPOSIT',
        (f"{MONEY}::test_money_is_conserved_and_every_saga_ends",),
    ),
    Mutant(
        7,
        "a deposit that an earlier program has credited is credited again",
        f"{STORE}/migrations/accounting/0003_origins_and_follow_ups.sql",
        "WHERE kind IN ('deposit', 'invoice_deposit')",
        "WHERE kind IN ('invoice_deposit')",
        (f"{CONSTRAINTS}::test_a_deposit_of_which_nobody_knows_whence_it_came_keeps_both_from_being_credited_again",),
    ),
    Mutant(
        7,
        "an invoice that was paid is paid again under another id",
        f"{STORE}/migrations/bitcoin/0003_why_and_when_invoices_ended.sql",
        "WHERE state NOT IN ('rejected', 'failed')",
        "WHERE state NOT IN ('rejected', 'failed', 'paid')",
        (f"{CONSTRAINTS}::test_what_is_paid_is_never_paid_again",),
    ),
    Mutant(
        7,
        "the database takes a balance below zero",
        f"{STORE}/migrations/accounting/0001_accounts.sql",
        "CHECK (balance_sat >= 0)",
        "CHECK (balance_sat > -1000000000)",
        (f"{CONSTRAINTS}::test_a_balance_is_never_below_zero",),
    ),
    Mutant(
        8,
        "an account is written over whatever version it has",
        f"{STORE}/sql/accounts.sql",
        "WHERE held.account_id = new.key AND held.version = new.expected",
        "WHERE held.account_id = new.key",
        (f"{TURNS}::test_a_stale_writer_is_refused_and_decides_again_on_the_truth",),
    ),
    Mutant(
        8,
        "a refusal is not checked against the version that it was decided on",
        f"{ACTORS}/aggregate.py",
        "uow.repository.save(turn.changes, turn.records, turn.unchanged, turn.senders)",
        "uow.repository.save(turn.changes, turn.records, {}, turn.senders)",
        (f"{TURNS}::test_a_stale_writer_may_not_even_refuse",),
    ),
    Mutant(
        8,
        "what was only looked at may change before the commit",
        f"{STORE}/sql/accounts.sql",
        "    FOR SHARE OF held\n",
        "",
        (f"{COMMIT}::test_a_stale_refusal_waits_for_the_writer_and_then_gives_way",),
    ),
    Mutant(
        9,
        "an account remembers what has happened to it",
        "domain/accounting/account.py",
        "    status: AccountStatus = AccountStatus.PENDING\n",
        "    status: AccountStatus = AccountStatus.PENDING\n    history: tuple[int, ...] = ()\n",
        ("tests/unit/domain/test_seed_faults.py::test_no_aggregate_holds_anything_that_grows",),
    ),
    Mutant(
        9,
        "the relay reads from the bottom each time",
        f"{STORE}/outbox.py",
        "self.position = max(self.position, min([self.aim + 1, *waiting]))",
        NOTHING,
        (f"{READS}::test_a_read_does_not_walk_through_what_was_settled",),
    ),
    Mutant(
        9,
        "instances are loaded for each turn",
        f"{ACTORS}/aggregate.py",
        "held = self._residents.find(name, keys)",
        "held: dict[str, Versioned[Any]] = {}",
        ("tests/contracts/test_costs.py::test_a_turn_on_active_instances_is_one_round_trip_whatever_its_size",),
    ),
    Mutant(
        10,
        "the account that a command acts for is not compared with the token's",
        GUARD,
        "not sender.owns(account := read(envelope.data)):",
        "not sender.owns(account := sender.subject):",
        (f"{IDENTITY}::test_no_user_acts_for_the_account_of_another",),
    ),
    Mutant(
        10,
        "any token may send what is for another role",
        GUARD,
        "_role(sent_by) not in sender.roles:",
        "not sender.roles:",
        (f"{IDENTITY}::test_each_sender_may_send_what_the_table_says_and_nothing_else",),
    ),
    Mutant(
        10,
        "who only asks is shown what is somebody else's",
        f"{ACTORS}/ingress.py",
        "if result is not None and self._guard.may_see(sender, query, result) else None",
        "if result is not None else None",
        (f"{INGRESS}::test_a_query_is_answered_to_who_may_ask_it",),
    ),
    Mutant(
        10,
        "the ingress lets commands in without asking the guard about them",
        f"{ACTORS}/ingress.py",
        "good.append(_Taken(arrival, admitted.envelope.message_id, self._guard.command(sender, admitted)))",
        "good.append(_Taken(arrival, admitted.envelope.message_id, admitted.envelope))",
        (
            (
                f"{INGRESS}::test_what_nobody_or_only_a_user_sends_in_vain_reaches_no_aggregate"
                "_and_is_told_and_counted_but_not_kept"
            ),
        ),
    ),
    Mutant(
        10,
        "a token's signature is not verified",
        VERIFIER,
        '"verify_nbf": False,',
        '"verify_nbf": False, "verify_signature": False, "verify_aud": True, "verify_iss": True,',
        (f"{TOKENS}::test_a_token_with_a_changed_claim_is_refused",),
    ),
    Mutant(
        10,
        "a token is good for ever",
        VERIFIER,
        "if at >= good_until + self._leeway:",
        "if good_until < 0:",
        (f"{TOKENS}::test_a_token_is_good_until_it_expires_and_for_clocks_that_differ_a_little",),
    ),
    Mutant(
        10,
        "a token is good long before it is made",
        VERIFIER,
        "if at < good_from - self._leeway:",
        "if at < good_from - 1_000 * self._leeway:",
        (f"{TOKENS}::test_a_token_is_good_until_it_expires_and_for_clocks_that_differ_a_little",),
    ),
    Mutant(
        10,
        "tokens of another deployment are believed",
        VERIFIER,
        '"verify_nbf": False,',
        '"verify_nbf": False, "verify_aud": False,',
        (f"{TOKENS}::test_tokens_of_another_deployment_are_refused",),
    ),
    Mutant(
        10,
        "an id of one sender is an id of all",
        GUARD,
        'return f"{sender} {_source_part(source)} {message_id}"',
        "return message_id",
        (
            f"{IDENTITY}::test_an_id_is_the_senders_own",
            f"{IDENTITY}::test_no_sender_can_use_an_id_that_is_made_inside",
        ),
    ),
    Mutant(
        10,
        "anybody joins the story of another",
        GUARD,
        'f"{sender.name} {chosen}"',
        "chosen",
        (f"{IDENTITY}::test_nobody_joins_the_story_of_another",),
    ),
    Mutant(
        10,
        "money is moved by hand without a word",
        GUARD,
        "not envelope.why.strip():",
        "envelope.why is None:",
        (f"{IDENTITY}::test_money_is_moved_by_hand_only_with_a_word_why",),
    ),
    Mutant(
        10,
        "nobody remembers who moved money by hand",
        f"{ACTORS}/aggregate.py",
        "uow.audit(turn.actions)",
        NOTHING,
        (f"{BY_HAND}::test_who_moves_money_by_hand_is_remembered_with_the_reason_and_what_came_of_it",),
    ),
    Mutant(
        10,
        "strangers share their ids",
        GUARD,
        'return f"{sender.name} @{sha1(envelope.data, usedforsecurity=False).hexdigest()}"',
        'return f"{sender.name} @"',
        (f"{IDENTITY}::test_the_id_of_a_stranger_counts_for_the_same_content_alone",),
    ),
    Mutant(
        11,
        "a subscriber that is away is never set aside",
        "spark_actors/messaging/relay.py",
        "if longest is not None and longest.size > self._in_flight:",
        "if longest is None:",
        (f"{RELAY}::test_a_subscriber_that_is_away_is_set_aside_and_the_others_get_everything",),
    ),
    Mutant(
        11,
        "what a subscriber that is away misses is not kept",
        f"{ACTORS}/supervisor.py",
        "for subscriber in self._relay.behind:",
        "for subscriber in list[str]():",
        (f"{OUTBOX_RELAY}::test_while_one_is_away_the_others_get_everything_and_it_does_later_in_order",),
    ),
    Mutant(
        4,
        "what is to be kept for a subscriber leaves the outbox before it is durable",
        "spark_actors/messaging/relay.py",
        "queue.missed.add(row)",
        "queue.missed.add(row)\n                    self._count_down(row.position)",
        (f"{RELAY}::test_the_outbox_holds_an_event_until_it_is_kept_for_who_is_set_aside",),
    ),
    Mutant(
        5,
        "events pass directly again before all that was missed is taken",
        "spark_actors/messaging/missed.py",
        "return not rows and read.floor == 0 and not self._has_more",
        "return not rows",
        (f"{RELAY}::test_a_missed_event_that_is_refused_holds_back_its_key_only",),
    ),
    Mutant(
        4,
        "what is written while a read finds the end is passed over",
        "spark_actors/messaging/missed.py",
        "if self._kept != read.kept:",
        "if self._kept < 0:",
        (f"{RELAY}::test_what_is_written_while_a_read_finds_the_end_is_not_passed_over",),
    ),
    Mutant(
        6,
        "a message that kills its taker is handed over whole, again and again",
        "spark_actors/messaging/deaths.py",
        "self._limit = len(batch) // 2",
        "self._limit = len(batch)",
        (f"{RELAY}::test_a_message_that_kills_its_taker_is_found_and_parked_and_all_others_are_taken",),
    ),
    Mutant(
        6,
        "an event on which the code of a saga raises stops its outbox",
        "spark_actors/messaging/routing.py",
        "except Exception:  # noqa: BLE001",
        "except OSError:  # noqa: BLE001",
        (f"{ROUTING}::test_an_event_that_makes_a_sagas_code_raise_goes_to_all_who_may_want_it",),
    ),
    Mutant(
        10,
        "who uses a donation's id for the second time is told that it is done",
        "domain/crowdfunding/campaign.py",
        "return done(None, event, records=(request,))",
        "return done(None, event)",
        (f"{CAMPAIGN}::test_an_id_is_requested_once_by_whomever_and_nothing_is_said_of_a_second_use",),
    ),
    Mutant(
        10,
        "the database takes a donation that was not requested so",
        f"{STORE}/migrations/crowdfunding/0002_donation_requests.sql",
        "FOREIGN KEY (donation_id, campaign_id, account_id, amount_sat)\n"
        "        REFERENCES donation_requests (donation_id, campaign_id, account_id, amount_sat);",
        "FOREIGN KEY (donation_id) REFERENCES donation_requests (donation_id);",
        (f"{CONSTRAINTS}::test_what_is_registered_is_what_was_requested",),
    ),
    Mutant(
        10,
        "a view's row is whoever's a later event names",
        f"{STORE}/sql/dashboard.sql",
        "WHERE (known.account_id, known.kind, known.amount_sat) = "
        "(excluded.account_id, excluded.kind, excluded.amount_sat)",
        "WHERE true",
        (f"{PROJECTION}::test_nothing_that_names_another_account_changes_a_row",),
    ),
    Mutant(
        10,
        "a refused sign-up is told in the feed of the account that it names",
        "domain/auth/user.py",
        "    return rejected(Reason.USERNAME_TAKEN)",
        "    event = AccountRegistered(account_id=command.account_id, username=command.username)\n"
        "    return rejected(Reason.USERNAME_TAKEN, event)",
        ("tests/unit/domain/test_user.py::test_nothing_is_said_of_a_sign_up_that_is_refused",),
    ),
    Mutant(
        12,
        "what another story tells about an id counts for mine",
        "domain/shared/sagas.py",
        "return (self.kind, self.saga_id, self.correlation_id)",
        'return (self.kind, self.saga_id, "")',
        (f"{SAGAS}::test_what_another_story_tells_about_the_same_id_changes_nothing_in_mine",),
    ),
    Mutant(
        12,
        "a saga's row in the database is one for all stories of its id",
        f"{STORE}/migrations/messaging/0010_sagas_by_story.sql",
        "PRIMARY KEY (kind, saga_id, correlation_id)",
        "PRIMARY KEY (kind, saga_id)",
        (f"{SAGAS}::test_what_another_story_tells_about_the_same_id_changes_nothing_in_mine",),
    ),
    Mutant(
        12,
        "a campaign's page shows what was only asked for",
        f"{STORE}/sql/dashboard.sql",
        "WHERE campaign_id = %(campaign_id)s AND state = 'registered'",
        "WHERE campaign_id = %(campaign_id)s",
        (f"{VIEWS}::test_a_campaigns_page_shows_what_was_registered_and_to_whom_it_belongs_nobody",),
    ),
    Mutant(
        11,
        "a lock that somebody else holds makes the whole turn wait",
        f"{ACTORS}/aggregate.py",
        "return _Ended(known, known).and_then(self._without_locked(work, pending))",
        "raise",
        (f"{LOCKED}::test_commands_of_a_locked_key_are_not_done_and_its_neighbours_are",),
    ),
    Mutant(
        11,
        "the backend of a client that is gone waits on",
        f"{STORE}/connections.py",
        '"client_connection_check_interval": 2_000',
        '"client_connection_check_interval": 0',
        (f"{SESSIONS}::test_the_backend_of_a_killed_client_ends_within_seconds",),
    ),
    Mutant(
        11,
        "dropping an old partition makes all turns wait behind a long reader",
        f"{STORE}/maintenance.py",
        "LOCK_SECONDS = 0.05",
        "LOCK_SECONDS = 1",
        (f"{MAINTENANCE}::test_while_somebody_reads_an_old_partition_it_stays_and_turns_do_not_wait",),
    ),
    Mutant(
        11,
        "a loop that fails is hurried by those who wake it",
        f"{ACTORS}/loop.py",
        "until=self._stopping if self._failures else self._woken",
        "until=self._woken",
        ("tests/unit/actors/test_loop.py::test_a_loop_that_fails_is_not_hurried_by_those_who_wake_it",),
    ),
    Mutant(
        11,
        "a host that waits for the store is taken for dead",
        f"{ACTORS}/progress.py",
        "(STORE_SECONDS if self._waits else 0.0)",
        "0.0",
        (
            "tests/unit/actors/test_progress.py::test_a_wait_for_the_store_is_told_and_not_held_against_it_as_long_as_the_store_may_take",
        ),
    ),
    Mutant(
        11,
        "a host that is stuck in its turn is left alone",
        f"{ACTORS}/keeper.py",
        "if report.unmoved_seconds > self._patience_seconds:",
        "if report.unmoved_seconds < 0:",
        ("tests/unit/actors/test_keeper.py::test_one_whose_turn_has_not_moved_for_longer_than_patience_is_replaced",),
    ),
    Mutant(
        6,
        "a bug that one arrival meets sends its whole batch round",
        f"{ACTORS}/ingress.py",
        "except Exception as error:  # noqa: BLE001 - a bug;",
        "except KeyboardInterrupt as error:  # a bug;",
        (f"{INGRESS}::test_an_arrival_that_meets_a_bug_is_told_and_kept_alone_and_its_neighbours_pass",),
    ),
    Mutant(
        10,
        "an id may hold what nobody sees",
        "domain/shared/ids.py",
        "if _UNSEEN.search(text):",
        "if not text:",
        (f"{IDS}::test_an_id_has_nothing_that_nobody_sees",),
    ),
    Mutant(
        10,
        "an id may be written in two ways that look the same",
        "domain/shared/ids.py",
        'return "" if is_normalized("NFC", text) else',
        'return "" if text else',
        (f"{IDS}::test_what_is_no_id_is_told_in_words",),
    ),
    Mutant(
        10,
        "of a header that comes twice the last counts",
        "spark_actors/ingress/nats_client.py",
        'f"{headers[plain]}, {text}" if plain in headers else text',
        "text",
        (f"{BROKER}::test_the_headers_of_an_event_come_in_bounded_and_one_that_comes_twice_is_read_as_neither",),
    ),
    Mutant(
        10,
        "a subject that is not the key is passed over",
        "spark_actors/messaging/door.py",
        "if event.subject not in (None, key):",
        "if event.subject is key:",
        (f"{EVENTS}::test_a_subject_that_is_left_out_is_the_key_and_one_that_is_given_is_compared",),
    ),
    Mutant(
        11,
        "a stranger may sign up with a hash that is dear to compare",
        "domain/auth/user.py",
        "m={HASH_COST.memory_kib}",
        "m=[0-9]+",
        (f"{USER}::test_a_password_must_come_as_an_argon2_hash",),
    ),
    Mutant(
        11,
        "passwords are compared as urgently as commands are taken",
        "spark_actors/identity/passwords.py",
        "os.nice(NICENESS)",
        "os.nice(0)",
        (f"{LOGIN}::test_passwords_are_compared_one_after_the_other_and_behind_everything_else",),
    ),
    Mutant(
        11,
        "a clock that was ahead locks logins out",
        "spark_actors/identity/login.py",
        "now: Callable[[], float] = time.monotonic",
        "now: Callable[[], float] = time.time",
        (f"{LOGIN}::test_attempts_are_timed_by_a_clock_that_cannot_be_set",),
    ),
    Mutant(
        12,
        "a view that was cut does not say so",
        "spark_actors/messaging/answers.py",
        "**{**cut, TRUNCATED: True}",
        "**{**cut, TRUNCATED: False}",
        (f"{ANSWERS}::test_a_view_is_whole_or_has_all_lines_that_fit_or_is_an_error",),
    ),
    Mutant(
        12,
        "an answer that the broker does not take is sent all the same",
        "spark_actors/messaging/answers.py",
        "    if len(whole) <= room:\n",
        "    if whole:\n",
        (f"{FITTING}::test_a_view_of_more_than_the_server_takes_is_read_page_by_page",),
    ),
    Mutant(
        12,
        "of a burst of refusals the log tells the first alone",
        "spark_actors/messaging/bursts.py",
        "if burst.count > 1:",
        "if burst.count < 1:",
        (f"{BURSTS}::test_a_burst_ends_in_its_sum_when_nothing_more_comes",),
    ),
)
