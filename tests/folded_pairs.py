"""Names that people type in one way and find written in another; and names that stay two."""

ALIKE = [
    ("İstanbul", "istanbul"), ("IĞDIR", "ığdır"), ("ısı", "isi"), ("Straße", "STRASSE"), ("GROẞ", "gross"),
    ("échange", "Echange"), ("e\u0301te\u0301", "été"), ("Ærlig", "aerlig"), ("ŒUVRE", "oeuvre"), ("Ørsted", "orsted"),
    ("Łódź", "lodz"), ("Đà Nẵng", "da nang"), ("Þór", "thor"), ("Malmö", "malmo"), ("Šķirņu", "skirnu"),
    ("ＲＥＦＵＮＤ　１２", "refund 12"), ("ﾍﾝｷﾝ", "ヘンキン"), ("ガス", "がす"), ("ｶﾞｽ", "がす"), ("ﬁnance", "finance"),
    ("ΣΟΦΟΣ", "σοφος"), ("λόγος", "ΛΟΓΟΣ"), ("Ёлка", "елка"), ("مُحَمَّد", "محمد"), ("أحمد", "احمد"), ("كـتاب", "كتاب"),
    ("فارسی", "فارسي"), ("שָׁלוֹם", "שלום"), ("שלומ", "שלום"), ("٤٢", "42"), ("४२", "42"), ("cash_withdrawal", "Cash withdrawal"),
    ("e-mail", "E–MAIL"), ("re\u00adfund", "refund"), ("re\u200bfund", "refund"), ("don’t", "don't"), ("a\u00a0 b", "A B"),
    ("한국어", "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165"), ("Ⅳ", "iv"), ("½", "1⁄2"),
]  # fmt: skip
APART = [
    ("か", "が"), ("は", "ぱ"), ("की", "का"), ("ปา", "ป่า"), ("refund", "re-fund"), ("o", "0"), ("返金", "返品"), ("C", "C++"),
    ("한", "하"), ("a", "а"), ("", "x"),
]  # fmt: skip
