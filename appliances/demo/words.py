"""The words that the demo content is made of."""

from __future__ import annotations

GROUPS: dict[str, tuple[str, ...]] = {
    "Administrators": (
        "add_account", "change_account", "delete_account", "view_account", "view_group",
        "change_site", "view_site", "change_emailconfiguration", "view_emailconfiguration",
        "change_apiconfiguration", "view_apiconfiguration", "add_filestorefile", "change_filestorefile",
        "delete_filestorefile", "view_filestorefile", "view_supportsession", "view_recording",
        "switch_roles", "establish_relationship",
    ),
    "Operators": ("view_site", "view_supportsession", "view_recording", "view_filestorefile", "switch_roles"),
    "Team leads": (
        "view_account", "view_supportsession", "view_recording", "add_filestorefile", "change_filestorefile",
        "view_filestorefile",
    ),
    "Representatives": ("view_supportsession", "view_filestorefile"),
    "Auditors": ("view_account", "view_group", "view_site", "view_supportsession", "view_recording"),
}  # fmt: skip

# How many accounts of forty stand in each group.
SHARES = {"Administrators": 3, "Operators": 4, "Team leads": 6, "Representatives": 24, "Auditors": 3}

FIRST_NAMES = (
    "Amara", "Bruno", "Chiara", "Daniel", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Katrin", "Luis",
    "Mina", "Nadia", "Oskar", "Paula", "Quentin", "Rosa", "Samir", "Tanja", "Ulrich", "Vera", "Wanda", "Yusuf",
)  # fmt: skip
LAST_NAMES = (
    "Adler", "Bianchi", "Costa", "Dubois", "Eriksen", "Fischer", "García", "Haddad", "Ivanova", "Jensen", "Kowalski",
    "Lindqvist", "Moreau", "Novák", "Okafor", "Petrov", "Quist", "Rossi", "Šimić", "Tanaka", "Unger", "Varga",
)  # fmt: skip
CUSTOMERS = (
    "Front desk, Hill Street", "Warehouse 3", "Dr. Whitfield", "Accounts payable", "North branch", "Reception",
    "Lab B-204", "Night shift", "Tax office", "Harbour depot", "Room 512", "Payroll", "M. Delacroix", "P. Nakamura",
)  # fmt: skip
SUBJECTS = (
    "Printer prints blank pages", "VPN drops every few minutes", "Mail client asks for a password again",
    "Screen stays black after docking", "Slow log-in since the update", "Scanner is not found",
    "Cannot open a shared folder", "Certificate warning on the intranet", "Disk is almost full",
    "Headset has no microphone", "Calendar is one hour off", "Update stops at 37 %", "Lost files after a move",
)  # fmt: skip
CUSTOMER_LINES = (
    "Hello, thank you for the quick answer.", "It began on Monday, after the restart.",
    "Yes, you may look at my screen.", "The message says: access denied.", "It works on the other computer.",
    "One moment, I have to look for the cable.", "Now it looks different!", "Great, that was it. Thank you!",
)  # fmt: skip
REPRESENTATIVE_LINES = (
    "Good morning, how can I help?", "May I look at your screen?", "Please leave the window open.",
    "I will look at the settings first.", "I am sending you a small tool; please accept it.",
    "Could you try it again now?", "I have written down what was changed.", "Is there anything else?",
)  # fmt: skip
COMMANDS = (
    "ipconfig /all", "ping -n 4 192.0.2.10", "systemctl status cups", "net use", "df -h", "gpupdate /force",
    "nslookup mail.example.com", "sfc /scannow", "journalctl -u vpn --since today", "tracert 198.51.100.7",
)  # fmt: skip
TRANSFERS = ("driver-setup.zip", "vpn-profile.conf", "screenshot.png", "support.log", "printer-check.txt")

# name, kind, size in KiB, offered on the portal
FILES: tuple[tuple[str, str, int, bool], ...] = (
    ("Quick start guide.txt", "text", 24, True),
    ("Frequently asked questions.txt", "text", 61, True),
    ("Remote support terms.txt", "text", 12, True),
    ("Printer driver 4.2 (64 bit).zip", "archive", 3900, True),
    ("Printer driver 4.1 (64 bit).zip", "archive", 3600, False),
    ("Scanner driver 2.9.zip", "archive", 2100, True),
    ("VPN client 7.1.zip", "archive", 4300, True),
    ("VPN profile, head office.conf", "text", 4, False),
    ("VPN profile, branches.conf", "text", 5, False),
    ("Headset firmware 1.18.zip", "archive", 1700, False),
    ("Docking station firmware 3.03.zip", "archive", 1250, False),
    ("Network map, head office.png", "image", 420, False),
    ("Network map, branches.png", "image", 310, False),
    ("Floor plan with printers.png", "image", 560, False),
    ("Company logo.png", "image", 90, True),
    ("Asset list.csv", "table", 340, False),
    ("Telephone list.csv", "table", 56, False),
    ("Software licences.csv", "table", 128, False),
    ("Error codes of the printers.csv", "table", 77, True),
    ("Checklist, new workplace.txt", "text", 9, False),
    ("Checklist, leaving staff.txt", "text", 8, False),
    ("Checklist, first call.txt", "text", 6, False),
    ("Mail client settings.txt", "text", 15, True),
    ("Disk check tool.zip", "archive", 780, True),
    ("Log collector.zip", "archive", 950, True),
    ("Certificate installer.zip", "archive", 410, False),
    ("Größentabelle Bildschirme.csv", "table", 18, False),
    ("Notes for the night shift.txt", "text", 7, False),
    ("Recovery image loader.zip", "archive", 2800, False),
    ("Keyboard layouts.zip", "archive", 1100, True),
)

PORTAL_TEXT = (
    "Welcome to the support portal. Our representatives are here on working days from 7:00 to 19:00 "
    "and on call at night.\n\nBelow you find the files that we are asked for most often."
)
