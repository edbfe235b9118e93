/*
** absent.c -- GSSAPI and LDAP, which there are no static libraries of.
**
** A static libpq refers to them, and is told here that they are not available,
** where it can be told with a text. It uses nothing else of the two.
*/
#include <stddef.h>
#include <stdint.h>

static char missing[] = "this executable has no GSSAPI (Kerberos)";
static char nothing[] = "";
static char no_ldap[] = "this executable has no LDAP";

/* ---- GSSAPI, RFC 2744 ------------------------------------------------ */

struct gss_buffer {
    size_t length;
    void *value;
};

enum { GSS_S_UNAVAILABLE = 16 << 16, GSS_C_MECH_CODE = 2 };

extern void *GSS_C_NT_HOSTBASED_SERVICE;
void *GSS_C_NT_HOSTBASED_SERVICE;

#define UNAVAILABLE(function)     \
    uint32_t function(void);      \
    uint32_t function(void)       \
    {                             \
        return GSS_S_UNAVAILABLE; \
    }

UNAVAILABLE(gss_acquire_cred)
UNAVAILABLE(gss_delete_sec_context)
UNAVAILABLE(gss_import_name)
UNAVAILABLE(gss_init_sec_context)
UNAVAILABLE(gss_release_buffer)
UNAVAILABLE(gss_release_cred)
UNAVAILABLE(gss_release_name)
UNAVAILABLE(gss_unwrap)
UNAVAILABLE(gss_wrap)
UNAVAILABLE(gss_wrap_size_limit)

uint32_t gss_display_status(uint32_t *minor, uint32_t value, int type,
                            const void *mechanism, uint32_t *context,
                            struct gss_buffer *text);
uint32_t gss_display_status(uint32_t *minor, uint32_t value, int type,
                            const void *mechanism, uint32_t *context,
                            struct gss_buffer *text)
{
    (void)value;
    (void)mechanism;
    *minor = 0;
    *context = 0; /* nothing follows */
    text->value = type == GSS_C_MECH_CODE ? nothing : missing;
    text->length = type == GSS_C_MECH_CODE ? 0 : sizeof missing - 1;
    return 0;
}

/* ---- LDAP, which begins with ldap_init ------------------------------- */

#define NOTHING(function) \
    void *function(void); \
    void *function(void)  \
    {                     \
        return NULL;      \
    }

#define FAILURE(function) \
    int function(void);   \
    int function(void)    \
    {                     \
        return -1;        \
    }

NOTHING(ldap_init)
NOTHING(ldap_first_entry)
NOTHING(ldap_get_values_len)
FAILURE(ldap_count_entries)
FAILURE(ldap_msgfree)
FAILURE(ldap_result)
FAILURE(ldap_search_st)
FAILURE(ldap_set_option)
FAILURE(ldap_simple_bind)
FAILURE(ldap_unbind)
FAILURE(ldap_value_free_len)

char *ldap_err2string(int error);
char *ldap_err2string(int error)
{
    (void)error;
    return no_ldap;
}
