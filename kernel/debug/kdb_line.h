/* Monitor line: turns the bytes of a terminal into lines, and lines into words and numbers.
 *
 * Pure but for the echo; used by the monitor's task, and after a panic. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KDB_LINE_MAX  128u /* bytes of a line, terminator included */
#define KDB_HISTORY   8u   /* lines that arrow-up brings back */
#define KDB_WORDS_MAX 8u

struct kdb_line {
    char text[KDB_LINE_MAX]; /* terminated */
    size_t length;
    char history[KDB_HISTORY][KDB_LINE_MAX];
    unsigned kept;   /* lines ever put into the history; the newest is kept - 1 */
    unsigned back;   /* how far arrow-up has gone; 0: the line being typed */
    uint8_t escape;  /* bytes of an escape sequence seen */
    bool was_return; /* the last byte was CR: an LF that follows belongs to it */
};

typedef void (*kdb_echo_fn)(const char *text, size_t length);

/* Takes one byte: printable ASCII, backspace or DEL, ctrl-U (forget the line), ctrl-C (cancel),
 * arrow up and down, CR or LF. Other bytes are ignored, and a bell answers what does not fit.
 * True: the line is complete (empty after ctrl-C), and the caller passes it to kdb_line_next() once
 * it has been used. */
bool kdb_line_byte(struct kdb_line *line, uint8_t byte, kdb_echo_fn echo);
/* Keeps the line in the history and begins an empty one. `text` is what was typed. */
void kdb_line_next(struct kdb_line *line);

/* Cuts a text into words, in place: zeros take the place of blanks. KDB_WORDS_MAX + 1: too many. */
unsigned kdb_words(char *text, char *words[KDB_WORDS_MAX]);
/* A whole number: hexadecimal with "0x" or when `base` is 16, else decimal. False: it is none, or
 * does not fit into 64 bits. */
bool kdb_number(const char *text, unsigned base, uint64_t *out);
