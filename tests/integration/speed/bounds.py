"""How many rows each place may examine for what it returns: every place in asyncflow that sends a statement is here."""

from __future__ import annotations

from typing import NamedTuple

from tests.integration.speed.places import Sent


class Bound(NamedTuple):
    """Tell how many rows a statement may examine: for each that it returns or changes, and besides.

    And how many times all that the fullest lane holds, where the database reads these among lanes of one row.
    """

    each: float
    besides: int
    of_fullest: int = 0

    def holds(self, sent: Sent, fullest: int) -> bool:
        """Tell whether a statement kept to it; ``fullest``: so many rows does a lane hold that is read to its end."""
        return sent.examined <= self.each * sent.returned + self.besides + self.of_fullest * fullest


EXACT = Bound(1, 10)  # what it returns or changes
TWICE = Bound(2, 20)  # an index entry and its row, or ranges that are followed by others
LOOK = Bound(6, 3 * 64)  # lanes, the empty ones as well: a descent or three for each
# Of many types, as their lanes are not known before. Where a table holds less than about three rows a lane, its
# estimates let MariaDB read all rows of a lane that holds more: no hint keeps it from that.
LOOK_AT_MANY = Bound(6, 60, of_fullest=2)
SMALL = Bound(2, 700)  # a table of some hundred rows at most, as of shards, may be read from beginning to end
# The lanes of 256 types, to return their firsts, or some of them: of many types as above.
OF_TYPES = Bound(0, 4 * 256 * 64 + 100, of_fullest=2)
# Entries of a status, at one go: MariaDB looks up the group of each in a temporary table, and counts that, too.
COUNTED = Bound(0, 2 * 105_000)
COUNTED_EACH = Bound(0, 250 * 110)  # of 250 types, no more than a hundred of each where there are so many of them
BOUNDS = {
    "consuming/effects:_write": EXACT,
    "outbox/dedupe:_remember": TWICE,
    "outbox/inbox:_delete": EXACT,
    "outbox/inbox:_remember": EXACT,
    "outbox/inbox:read_expired": EXACT,
    "outbox/look_up/key_rows:_read": TWICE,
    "outbox/look_up/task_rows:_page_of_key": TWICE,
    "outbox/look_up/task_rows:page": TWICE,
    "outbox/look_up/task_rows:states": TWICE,
    "outbox/look_up/time_rows:_read": TWICE,
    "outbox/outcome/results:of": EXACT,
    "outbox/unique/unique_keys:_living": TWICE,
    "outbox/unique/unique_keys:_seen": Bound(3, 20),  # with the task of each
    "outbox/unique/unique_keys:_take": TWICE,
    "outbox/writing/turns:draw": EXACT,
    "outbox/writing/writer:_insert": EXACT,
    "scheduler/archive/row_archive:write": TWICE,
    "scheduler/archive/table_archive:<lambda>": TWICE,
    "scheduler/archive/table_archive:_read": Bound(2, 1_100),  # PostgreSQL reads all of a table of some hundred rows
    "scheduler/charts/charts:_read": Bound(2, 3 * 73),  # each hour of three days is looked for
    "scheduler/charts/queries:write": EXACT,
    "scheduler/cluster/database_registry:<lambda>": LOOK_AT_MANY,
    "scheduler/cluster/database_registry:_leave": SMALL,
    "scheduler/cluster/database_registry:_renew": SMALL,
    "scheduler/cluster/database_registry:own": SMALL,
    "scheduler/cluster/queries:<genexpr>": EXACT,
    "scheduler/cluster/queries:insert_member": EXACT,
    "scheduler/cluster/resharding/reshard:<lambda>": EXACT,
    "scheduler/cluster/resharding/reshard:_move_parked": EXACT,
    "scheduler/cluster/resharding/reshard:_read": Bound(3, 2000),
    "scheduler/cluster/resharding/reshard:_record": EXACT,
    "scheduler/cluster/shard_count:_recorded": SMALL,
    "scheduler/configuration/configurations:_put": EXACT,
    "scheduler/configuration/configurations:_read": EXACT,
    "scheduler/configuration/configurations:read_configuration": TWICE,
    "scheduler/configuration/configurations:work": EXACT,
    "scheduler/diagnosis/dead_letters:read_letters": LOOK_AT_MANY,
    "scheduler/diagnosis/explain:_due": Bound(0, 1_100),
    "scheduler/diagnosis/explain:_explain": EXACT,
    "scheduler/diagnosis/explain:_parked": EXACT,
    "scheduler/diagnosis/flows:_arrivals": TWICE,
    "scheduler/diagnosis/instances:_most_tried": TWICE,
    "scheduler/diagnosis/sight:_is_at_work": EXACT,
    "scheduler/diagnosis/sight:_seen": TWICE,
    "scheduler/diagnosis/sight:_switches": Bound(2, 220),
    "scheduler/diagnosis/sight:look": SMALL,
    "scheduler/diagnosis/upkeep:findings_of_keys": TWICE,
    "scheduler/heads/queries:_read_few_pages": Bound(2, 2 * 64),  # each of 64 pages looks whether it ends
    "scheduler/heads/queries:_read_lanes": Bound(2, 2 * 64),  # each lane looks whether it ends
    "scheduler/heads/queries:read_heads_among": LOOK_AT_MANY,
    "scheduler/heads/queries:read_heads_behind": LOOK_AT_MANY,
    "scheduler/heads/queries:read_heads_of": LOOK,
    "scheduler/heads/queries:read_types": Bound(3, 20_020),  # MariaDB may read all rows of a lone type
    "scheduler/heads/thin_lanes:_read_groups": Bound(2, 2 * 64),  # each lane looks whether it ends
    "scheduler/heads/whole_types:read_whole_types": Bound(2, 1024),  # each lane looks whether it ends
    "scheduler/notices/memory:_remember": EXACT,
    "scheduler/notices/memory:_run": TWICE,
    "scheduler/notices/memory:_told": TWICE,
    "scheduler/operator/audit:<lambda>": Bound(2, 1_000),  # PostgreSQL reads all of one moment
    "scheduler/operator/audit:is_there": EXACT,
    "scheduler/operator/audit:write": EXACT,
    "scheduler/operator/by_hand/notes:<lambda>": Bound(2, 3_000),  # PostgreSQL reads all of some thousand entries
    "scheduler/operator/by_hand/purge:delete": TWICE,
    "scheduler/operator/by_hand/triggers:_count": SMALL,
    "scheduler/operator/by_hand/triggers:change": SMALL,
    "scheduler/operator/changing/batches:<lambda>": EXACT,
    "scheduler/operator/changing/batches:_write": TWICE,
    "scheduler/operator/changing/revived_keys:ask": Bound(
        2, 1_100
    ),  # of a page of dead letters those with a unique key
    "scheduler/operator/dead_letters:<lambda>": EXACT,
    "scheduler/operator/dead_letters:_list": TWICE,
    "scheduler/operator/dead_letters:_shard_count": EXACT,
    "scheduler/operator/dead_letters:write": TWICE,
    "scheduler/operator/instances:<lambda>": TWICE,
    "scheduler/operator/instances:_read": TWICE,
    "scheduler/operator/instances:write": TWICE,
    "scheduler/operator/report:<genexpr>": OF_TYPES,
    "scheduler/operator/report:_dead_letters": EXACT,
    "scheduler/operator/report:_owners": Bound(2, 40),
    "scheduler/operator/report:_parked_keys": SMALL,
    "scheduler/operator/report:_types": COUNTED,
    "scheduler/operator/schedules:<lambda>": TWICE,
    "scheduler/operator/task_view:one": EXACT,
    "scheduler/operator/type_counts:_scanned": COUNTED,
    "scheduler/operator/type_counts:count_up_to": COUNTED_EACH,
    "scheduler/operator/walk:_read": Bound(2, 500),  # PostgreSQL sorts what is left, where that is so little
    "scheduler/queues/queued_claims:read": LOOK,
    "scheduler/relay/keys/latest:_overtaken": Bound(2, 320),  # for each of a round's rows whether it has a log
    "scheduler/relay/keys/neighbours:_read_lane": TWICE,
    "scheduler/relay/keys/neighbours:_walk": Bound(2, 500),  # past all rows of keys that fill a page
    "scheduler/relay/keys/parking:_begins": Bound(4, 20),  # PostgreSQL reads all of a small table
    "scheduler/relay/keys/parking:_look_at_blocked": SMALL,
    "scheduler/relay/keys/parking:_park": TWICE,
    "scheduler/relay/keys/parking:_reach_back": Bound(0, 5 * 60),  # of a round its rows, for each of their keys: here 5
    "scheduler/relay/keys/parking:_read": SMALL,
    "scheduler/relay/keys/parking:_read_key": Bound(2, 120),  # and rows of the key that ended behind its first
    "scheduler/relay/keys/parking:_with_rows_aside": Bound(4, 700),
    "scheduler/relay/keys/parking:read_in_the_way": Bound(2, 120),
    "scheduler/relay/keys/parking:write": SMALL,
    "scheduler/relay/queries:run_on_ids": TWICE,
    "scheduler/relay/round_writer:_still_owned": SMALL,
    "scheduler/relay/settlement:_run": TWICE,
    "scheduler/relay/settlement:_write_superseded": TWICE,
    "scheduler/relay/settlement:count_untouched": TWICE,
    "scheduler/relay/settlement:standing": TWICE,
    "scheduler/table/contexts:_write": EXACT,
    "scheduler/table/contexts:forget": TWICE,
    "scheduler/table/contexts:save": EXACT,
    "scheduler/table/outcome_messages:_insert": EXACT,
    "scheduler/table/outcome_messages:facts": TWICE,
    "scheduler/table/row_locks:lock": Bound(3, 20),  # MariaDB reads all in work, where these are hardly more
    "scheduler/table/shards:put_into_shards": TWICE,
    "scheduler/telling/roll_call:recorded_members": SMALL,
    "scheduler/telling/roll_call:recorded_shards": SMALL,
    "scheduler/upkeep/cleaner:_delete_all": TWICE,
    "scheduler/upkeep/cleaner:_locked": TWICE,
    "scheduler/upkeep/disordered:_are_there": TWICE,
    "scheduler/upkeep/fenced_writes:require": SMALL,
    "scheduler/upkeep/free_unique_keys:delete": TWICE,
    "scheduler/upkeep/old_charts:delete": TWICE,
    "scheduler/upkeep/queries:read_expired": TWICE,
    "scheduler/upkeep/shardless:_forget_turns": TWICE,
    "scheduler/upkeep/rolling/keeper:<lambda>": SMALL,
    "scheduler/upkeep/rolling/dropper:<lambda>": SMALL,
    "scheduler/upkeep/rolling/dropper:_forget_contexts": Bound(2, 1_000),  # contexts of other tasks are passed by
    # MariaDB looks for its own statistics of each column of a table that it opens.
    "scheduler/upkeep/rolling/faults:_lacking": Bound(0, 60),
    "scheduler/upkeep/rolling/keeper:_read": SMALL,
    "scheduler/upkeep/rolling/keeper:lead": SMALL,
    "scheduler/upkeep/rolling/mover:_copy": TWICE,
    "scheduler/upkeep/rolling/mover:move": TWICE,
    "scheduler/upkeep/strays:<lambda>": TWICE,
    "scheduler/upkeep/strays:_release": SMALL,
    "scheduler/upkeep/strays:_return": SMALL,
    "scheduler/upkeep/timetable:_insert": EXACT,
    "scheduler/upkeep/timetable:_read": SMALL,
    "scheduler/upkeep/timetable:_write": SMALL,
    "scheduler/worker/claiming/claim_rows:renew": TWICE,
    "scheduler/worker/claiming/claim_rows:write": TWICE,
    "scheduler/worker/claiming/claiming:claim": TWICE,
    "scheduler/worker/claiming/service_claims:_read": TWICE,
    "scheduler/worker/claiming/service_claims:hear": TWICE,
    "scheduler/worker/leaving/done_rows:end_handled": TWICE,
    "scheduler/worker/leaving/leavings:_insert": EXACT,
    "scheduler/worker/leaving/leavings:end": TWICE,
    "scheduler/worker/leaving/leavings:leave": TWICE,
    "scheduler/worker/rescuing/rescue:_give_back": EXACT,
    "scheduler/worker/rescuing/rescue:write": TWICE,
}
