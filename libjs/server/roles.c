#include <lorajs/roles.h>

#include "base/cursor.h"

/* What is not here is refused.  Routing and exporting are each a way to a device's keys in the end, the one to
 * those of its next session and the other to all of them, so neither goes with another role; who brings keys in
 * may also end them; who operates touches no key. */
static const struct {
    ljs_role role;
    ljs_act act;
} rules[] = {
    { LJS_ROLE_PROVISION, LJS_ACT_LIST },       { LJS_ROLE_PROVISION, LJS_ACT_READ },
    { LJS_ROLE_PROVISION, LJS_ACT_PROVISION },  { LJS_ROLE_PROVISION, LJS_ACT_REMOVE },
    { LJS_ROLE_PROVISION, LJS_ACT_LIST_KEKS },  { LJS_ROLE_PROVISION, LJS_ACT_PUT_KEK },
    { LJS_ROLE_PROVISION, LJS_ACT_REMOVE_KEK }, { LJS_ROLE_PROVISION, LJS_ACT_ASSIGN },
    { LJS_ROLE_PROVISION, LJS_ACT_ENROL },      { LJS_ROLE_PROVISION, LJS_ACT_LIST_CLAIMS },
    { LJS_ROLE_PROVISION, LJS_ACT_ACCOUNTS },   { LJS_ROLE_PROVISION, LJS_ACT_LIST_ACCOUNTS },
    { LJS_ROLE_PROVISION, LJS_ACT_LIST_LOTS },

    { LJS_ROLE_CLAIM, LJS_ACT_READ },           { LJS_ROLE_CLAIM, LJS_ACT_ROUTE },
    { LJS_ROLE_CLAIM, LJS_ACT_LIST_KEKS },      { LJS_ROLE_CLAIM, LJS_ACT_CLAIM },
    { LJS_ROLE_CLAIM, LJS_ACT_LIST_CLAIMS },    { LJS_ROLE_CLAIM, LJS_ACT_DECISIONS },
    { LJS_ROLE_CLAIM, LJS_ACT_LIST },           { LJS_ROLE_CLAIM, LJS_ACT_LIST_DECISIONS },

    { LJS_ROLE_OPERATE, LJS_ACT_LIST },         { LJS_ROLE_OPERATE, LJS_ACT_READ },
    { LJS_ROLE_OPERATE, LJS_ACT_BLOCK },        { LJS_ROLE_OPERATE, LJS_ACT_UNBLOCK },
    { LJS_ROLE_OPERATE, LJS_ACT_RESET_NONCES }, { LJS_ROLE_OPERATE, LJS_ACT_LIST_KEKS },
    { LJS_ROLE_OPERATE, LJS_ACT_DECISIONS },    { LJS_ROLE_OPERATE, LJS_ACT_SUSPEND },
    { LJS_ROLE_OPERATE, LJS_ACT_LIST_CLAIMS },  { LJS_ROLE_OPERATE, LJS_ACT_LIST_ACCOUNTS },
    { LJS_ROLE_OPERATE, LJS_ACT_LIST_LOTS },    { LJS_ROLE_OPERATE, LJS_ACT_LIST_DECISIONS },

    { LJS_ROLE_EXPORT, LJS_ACT_READ },          { LJS_ROLE_EXPORT, LJS_ACT_EXPORT },

    { LJS_ROLE_AUDIT, LJS_ACT_LIST },           { LJS_ROLE_AUDIT, LJS_ACT_READ },
    { LJS_ROLE_AUDIT, LJS_ACT_LIST_KEKS },      { LJS_ROLE_AUDIT, LJS_ACT_DECISIONS },
    { LJS_ROLE_AUDIT, LJS_ACT_LIST_CLAIMS },    { LJS_ROLE_AUDIT, LJS_ACT_LIST_ACCOUNTS },
    { LJS_ROLE_AUDIT, LJS_ACT_LIST_LOTS },      { LJS_ROLE_AUDIT, LJS_ACT_LIST_DECISIONS },
    { LJS_ROLE_AUDIT, LJS_ACT_AUDIT },
};

static const struct {
    ljs_role role;
    const char *text;
} names[] = {
    { LJS_ROLE_PROVISION, "provision" }, { LJS_ROLE_CLAIM, "claim" }, { LJS_ROLE_OPERATE, "operate" },
    { LJS_ROLE_EXPORT, "export" },       { LJS_ROLE_AUDIT, "audit" },
};

int ljs_roles_allow(unsigned roles, ljs_act act)
{
    for (size_t i = 0; i < COUNT(rules); i++)
        if (rules[i].act == act && roles & (unsigned)rules[i].role)
            return 1;
    return 0;
}

const char *ljs_role_text(ljs_role role)
{
    for (size_t i = 0; i < COUNT(names); i++)
        if (names[i].role == role)
            return names[i].text;
    return "?";
}

ljs_err ljs_roles_parse(uint32_t *out, const char *text)
{
    uint32_t roles = 0;
    const char *at = text;

    *out = 0;
    for (;;) {
        size_t n = strcspn(at, ","), i = 0;

        while (i < COUNT(names) && (strlen(names[i].text) != n || memcmp(names[i].text, at, n)))
            i++;
        if (i == COUNT(names) || roles & (uint32_t)names[i].role)
            return LJS_E_INVAL;
        roles |= (uint32_t)names[i].role;
        if (!at[n])
            break;
        at += n + 1;
    }
    *out = roles;
    return LJS_OK;
}
