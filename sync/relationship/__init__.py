"""The failover relationship: establish it (checked both ways), answer, break it.

    A (asks)                                B (answers)
    hello, bound to B's public key    ->    key, identity, names, version, state
                                      <-    call back over the reverse address, bound to A's public key
    it is me                          ->
                                      <-    agreed; nothing is durable yet
    confirm, with the keys of the pair ->   durable: backup, unconfirmed
                                      <-    done
    durable: primary
    any message                       ->    confirmed

If A stops after B has made it durable, B asks A (`settle`): A proves to be in no relationship, and B leaves. So no
crash leaves one side paired for ever, and neither side leaves because of mere silence.
"""

from sync.relationship.answer import answer_call_back, answer_confirm, answer_hello
from sync.relationship.ask import establish
from sync.relationship.leave import BreakResult, answer_break, break_relationship, note_sign_of_life, settle

__all__ = [
    "BreakResult",
    "answer_break",
    "answer_call_back",
    "answer_confirm",
    "answer_hello",
    "break_relationship",
    "establish",
    "note_sign_of_life",
    "settle",
]
