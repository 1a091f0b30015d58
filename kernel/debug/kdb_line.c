/* Monitor line: the editor, a state machine over single bytes. See kdb_line.h. */
#include "kernel/debug/kdb_line.h"

#include <string.h>

enum { BELL = 0x07, BACKSPACE = 0x08, CTRL_C = 0x03, CTRL_U = 0x15, ESCAPE = 0x1b, DELETE = 0x7f };

static void erase(struct kdb_line *line, kdb_echo_fn echo) {
    for (; line->length > 0; line->length--)
        echo("\b \b", 3);
    line->text[0] = '\0';
}

static void add(struct kdb_line *line, char byte, kdb_echo_fn echo) {
    if (line->length + 1u >= KDB_LINE_MAX) {
        echo("\a", 1);
        return;
    }
    line->text[line->length++] = byte;
    line->text[line->length] = '\0';
    echo(&byte, 1);
}

/* Shows the line that was typed `back` lines ago; 0: an empty one. */
static void recall(struct kdb_line *line, unsigned back, kdb_echo_fn echo) {
    unsigned there = line->kept < KDB_HISTORY ? line->kept : KDB_HISTORY;
    if (back > there) {
        echo("\a", 1);
        return;
    }
    line->back = back;
    erase(line, echo);
    if (back == 0)
        return;
    memcpy(line->text, line->history[(line->kept - back) % KDB_HISTORY], KDB_LINE_MAX);
    line->length = strlen(line->text);
    echo(line->text, line->length);
}

/* ESC [ A is arrow up, ESC [ B arrow down (ECMA-48 8.3.22, 8.3.19); others end at a letter. */
static bool escape_byte(struct kdb_line *line, uint8_t byte, kdb_echo_fn echo) {
    if (byte == ESCAPE) {
        line->escape = 1;
        return true;
    }
    if (line->escape == 0)
        return false;
    if (line->escape == 1) {
        line->escape = byte == '[' ? 2 : 0;
        return true;
    }
    if (byte == 'A')
        recall(line, line->back + 1u, echo);
    if (byte == 'B')
        recall(line, line->back > 0 ? line->back - 1u : 0, echo);
    if (byte >= 0x40)
        line->escape = 0;
    return true;
}

bool kdb_line_byte(struct kdb_line *line, uint8_t byte, kdb_echo_fn echo) {
    bool after_return = line->was_return;
    line->was_return = byte == '\r';
    if (escape_byte(line, byte, echo))
        return false;
    switch (byte) {
    case '\n':
        if (after_return)
            return false;
        echo("\n", 1);
        return true;
    case '\r':
        echo("\n", 1);
        return true;
    case CTRL_C:
        line->length = 0;
        line->text[0] = '\0';
        echo("^C\n", 3);
        return true;
    case CTRL_U:
        erase(line, echo);
        return false;
    case BACKSPACE:
    case DELETE:
        if (line->length > 0) {
            line->text[--line->length] = '\0';
            echo("\b \b", 3);
        }
        return false;
    default:
        if (byte >= 0x20 && byte < 0x7f)
            add(line, (char)byte, echo);
        return false;
    }
}

void kdb_line_next(struct kdb_line *line) {
    const char *newest = line->history[(line->kept + KDB_HISTORY - 1u) % KDB_HISTORY];
    if (line->length > 0 && (line->kept == 0 || strcmp(newest, line->text) != 0)) {
        memcpy(line->history[line->kept % KDB_HISTORY], line->text, KDB_LINE_MAX);
        line->kept++;
    }
    line->length = 0;
    line->text[0] = '\0';
    line->back = 0;
}

unsigned kdb_words(char *text, char *words[KDB_WORDS_MAX]) {
    unsigned count = 0;
    for (char *at = text; *at != '\0';) {
        if (*at == ' ') {
            *at++ = '\0';
            continue;
        }
        if (count == KDB_WORDS_MAX)
            return KDB_WORDS_MAX + 1u;
        words[count++] = at;
        while (*at != '\0' && *at != ' ')
            at++;
    }
    return count;
}

static unsigned digit_of(char byte) {
    if (byte >= '0' && byte <= '9')
        return (unsigned)(byte - '0');
    char lower = (char)(byte | 0x20);
    return lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10u : 16u;
}

bool kdb_number(const char *text, unsigned base, uint64_t *out) {
    if (text[0] == '0' && (text[1] | 0x20) == 'x') {
        base = 16;
        text += 2;
    }
    uint64_t value = 0;
    const char *at = text;
    for (; *at != '\0'; at++) {
        unsigned digit = digit_of(*at);
        if (digit >= base || value > (UINT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
    }
    *out = value;
    return at != text;
}
