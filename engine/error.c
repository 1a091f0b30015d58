/* Error: names and sentences of the codes, from the lists in ggmk/error.h.
 *
 * The lists are the only place where a code is written down. A switch made from a list
 * cannot know two entries of one value (the compiler refuses it), so a number can never
 * be given out twice by accident. Any context; nothing here touches memory. */
#include "ggmk/error.h"

GMK_API const char *gmk_error_name(int status) {
    switch (status) {
#define ERROR_NAME(name, value, sentence) \
    case (value):                         \
        return #name;
        GMK_ERROR_LIST(ERROR_NAME)
#undef ERROR_NAME
    default:
        return "GMK_E?";
    }
}

GMK_API const char *gmk_strerror(int status) {
    switch (status) {
#define ERROR_SENTENCE(name, value, sentence) \
    case (value):                             \
        return sentence;
        GMK_ERROR_LIST(ERROR_SENTENCE)
#undef ERROR_SENTENCE
    default:
        return "unknown error code";
    }
}

GMK_API const char *gmk_drop_name(unsigned reason) {
    switch (reason) {
#define DROP_NAME(name, value, sentence) \
    case (value):                        \
        return #name;
        GMK_DROP_LIST(DROP_NAME)
#undef DROP_NAME
    default:
        return "GMK_DROP_?";
    }
}
