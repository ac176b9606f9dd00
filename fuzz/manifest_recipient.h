/* Whom the keys of the corpus are encrypted to.  Written by tests/jwe.py. */
static const char recipient_hex[] = "63ad10841289c27e603d424996deb43a04f464ed67f76a28a0d1e7da83ce8224";
