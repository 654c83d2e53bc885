"""The fingerprint of a key as words that two people can compare by telephone."""

from __future__ import annotations

# 256 words, one a byte: short, common, hard to mistake for each other when spoken. The order is part of the meaning:
# both appliances must show the same words for the same key.
WORDS = (  # noqa: SIM905  (a list would be three pages long)
    "acorn actor admiral album alpine amber anchor apple apron arrow atlas autumn bacon badger bagel bakery balcony "
    "bamboo banana banjo barrel basil basket beacon beaver bicycle birch biscuit blanket blossom blue bonfire border "
    "bottle bridge bronze bucket buffalo butter button cabin cactus camel camera candle canoe canyon captain caravan "
    "carbon cargo carpet carrot castle cedar cello cement cherry chess chimney cinema circle clarinet cliff clover "
    "cobalt coconut coffee comet compass copper coral cotton cricket crystal cube curtain daisy dancer decade delta "
    "desert diamond dinner doctor dolphin domino donkey dragon drum eagle echo eclipse elbow elephant emerald engine "
    "fabric falcon feather fern ferry fiddle finger flamingo flute forest fossil fountain galaxy garden garlic "
    "gazelle ginger giraffe glacier globe golden gorilla granite grape guitar hammer hammock harbour harvest hazel "
    "helmet heron hippo honey horizon hotel hurdle igloo indigo insect iris island ivory jacket jaguar jasmine jelly "
    "jigsaw jungle juniper kayak kettle kitchen kiwi koala ladder lagoon lantern laser lava lemon leopard library "
    "lilac lion lizard lobster lotus lumber magnet magpie mango maple marble meadow melon mercury meteor midnight "
    "mirror monsoon mosaic mountain museum mustard napkin nectar needle neon nickel nutmeg oasis ocean octopus olive "
    "onion orange orchid otter oxygen oyster paddle palace panda panther parrot pasta peanut pebble pelican pencil "
    "pepper piano pigeon pilot pirate planet plaza pocket polar pony poppy potato pumpkin puzzle pyramid quartz "
    "rabbit radar radish rainbow raven ribbon river robin rocket saddle safari saffron salmon sandal satin scarlet "
    "shadow silver spider spiral sunset tango temple thunder tiger timber tulip velvet violin walnut whistle willow"
).split()


def words(key_id: str) -> str:
    """The words of a fingerprint of hex digits, one word a byte: `amber-river-...`; empty where there is none."""
    return "-".join(WORDS[byte] for byte in bytes.fromhex(key_id))
