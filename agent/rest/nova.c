/* SPDX-License-Identifier: Apache-2.0 */

/* Knows Nova's conventions: its paths, microversions, faults, ids and times. */

#include "nova.h"

#include <libsoup/soup.h>
#include <string.h>

#define ROOT "/v2.1"

/* The namespace of ids made from names; any UUID would do, but it must never change. */
static const guint8 namespace[16] = {
  0x8e, 0x2f, 0x5a, 0x51, 0x5f, 0x37, 0x4c, 0x0b, 0x9d, 0x1e, 0x31, 0xc4, 0x77, 0x6a, 0x90, 0xd2
};

/**
 * nova_owns:
 * @path: a path, as it came
 *
 * Returns: whether what is answered there has Nova's form, errors as well
 */
gboolean
nova_owns (const char *path)
{
  gsize length = strlen (ROOT);

  return g_str_equal (path, "/") ||
         (strncmp (path, ROOT, length) == 0 && (path[length] == '\0' || path[length] == '/'));
}

/**
 * nova_path_normalize:
 * @path: a path, as it came
 *
 * Older catalogues have addresses with the project's id behind the version.
 *
 * Returns: (transfer full): @path without it
 */
char *
nova_path_normalize (const char *path)
{
  static const char resource[] = "/servers";
  const char *project, *rest;

  if (!g_str_has_prefix (path, ROOT "/"))
    return g_strdup (path);

  project = path + strlen (ROOT "/");
  rest = strchr (project, '/');
  if (rest == NULL || rest == project || g_str_has_prefix (project, resource + 1) ||
      !g_str_has_prefix (rest, resource))
    return g_strdup (path);
  return g_strconcat (ROOT, rest, NULL);
}

/* What @header, a list of "SERVICE VERSION", asks of this service. */
static char *
find_version (const char *header)
{
  static const char service[] = "compute";
  g_auto (GStrv) entries = g_strsplit (header, ",", -1);

  for (guint i = g_strv_length (entries); i > 0; i--)
    {
      char *entry = g_strstrip (entries[i - 1]);
      gsize length = strlen (service);

      if (g_ascii_strncasecmp (entry, service, length) == 0 && g_ascii_isspace (entry[length]))
        return g_strdup (g_strchug (entry + length));
    }
  return NULL;
}

/* "1" or "90", but not "", "01" or "+1". */
static gboolean
parse_number (const char *text,
              gboolean    may_be_zero,
              guint64    *number)
{
  if (*text == '\0' || strspn (text, "0123456789") != strlen (text) ||
      (*text == '0' && (text[1] != '\0' || !may_be_zero)))
    return FALSE;
  if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT, number, NULL))
    *number = G_MAXUINT;
  return TRUE;
}

/**
 * nova_version_parse:
 * @header: (nullable): the header NOVA_VERSION_HEADER; several are joined by commas
 * @legacy: (nullable): the header NOVA_VERSION_HEADER_LEGACY, which counts where the other says
 *   nothing of us
 * @minor: (out): the N of 2.N
 * @problem: (out) (transfer full) (nullable): what is wrong
 *
 * Returns: 200; 400 for what is no version, 406 for one that is not spoken here
 */
guint
nova_version_parse (const char  *header,
                    const char  *legacy,
                    guint       *minor,
                    char       **problem)
{
  g_autofree char *version = header != NULL ? find_version (header) : NULL;
  g_auto (GStrv) parts = NULL;
  guint64 major_number, minor_number;

  *minor = NOVA_MINOR_MIN;
  *problem = NULL;

  if (version == NULL)
    version = legacy != NULL ? g_strstrip (g_strdup (legacy)) : NULL;
  if (version == NULL)
    return SOUP_STATUS_OK;
  if (g_str_equal (version, "latest"))
    {
      *minor = NOVA_MINOR_MAX;
      return SOUP_STATUS_OK;
    }

  parts = g_strsplit (version, ".", 3);
  if (g_strv_length (parts) != 2 || !parse_number (parts[0], FALSE, &major_number) ||
      !parse_number (parts[1], TRUE, &minor_number))
    {
      *problem = g_strdup_printf ("API Version String %.64s is of invalid format. Must be of "
                                  "format MajorNum.MinorNum.", version);
      return SOUP_STATUS_BAD_REQUEST;
    }
  if (major_number != 2 || minor_number < NOVA_MINOR_MIN || minor_number > NOVA_MINOR_MAX)
    {
      *problem = g_strdup_printf ("Version %.64s is not supported by the API. Minimum is 2.%d and "
                                  "maximum is 2.%d.", version, NOVA_MINOR_MIN, NOVA_MINOR_MAX);
      return SOUP_STATUS_NOT_ACCEPTABLE;
    }
  *minor = (guint) minor_number;
  return SOUP_STATUS_OK;
}

static const char *
fault_name (guint status)
{
  static const struct { guint status; const char *name; } names[] = {
    { SOUP_STATUS_BAD_REQUEST,              "badRequest"         },
    { SOUP_STATUS_UNAUTHORIZED,             "unauthorized"       },
    { SOUP_STATUS_FORBIDDEN,                "forbidden"          },
    { SOUP_STATUS_NOT_FOUND,                "itemNotFound"       },
    { SOUP_STATUS_METHOD_NOT_ALLOWED,       "badMethod"          },
    { SOUP_STATUS_CONFLICT,                 "conflictingRequest" },
    { SOUP_STATUS_REQUEST_ENTITY_TOO_LARGE, "overLimit"          },
    { SOUP_STATUS_SERVICE_UNAVAILABLE,      "serviceUnavailable" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (names[i].status == status)
      return names[i].name;
  return "computeFault";
}

/**
 * nova_fault_status:
 * @status: an HTTP status
 *
 * Returns: the one that clients of Nova expect: of all that can fail here or behind us, they know
 *   500 and 503
 */
guint
nova_fault_status (guint status)
{
  return status > SOUP_STATUS_INTERNAL_SERVER_ERROR && status != SOUP_STATUS_SERVICE_UNAVAILABLE
         ? SOUP_STATUS_INTERNAL_SERVER_ERROR : status;
}

/**
 * nova_fault_new:
 * @status: what nova_fault_status() says
 * @message: what is wrong; UTF-8
 * @hint: (nullable): what to do about it
 *
 * Returns: (transfer full): {"conflictingRequest": {"code": 409, "message": "..."}}
 */
JsonNode *
nova_fault_new (guint       status,
                const char *message,
                const char *hint)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *text = hint != NULL ? g_strdup_printf ("%s (%s)", message, hint)
                                       : g_strdup (message);
  JsonObject *fault = json_object_new ();

  json_object_set_int_member (fault, "code", status);
  json_object_set_string_member (fault, "message", text);
  json_object_set_object_member (object, fault_name (status), fault);
  return json_node_init_object (json_node_alloc (), object);
}

/**
 * nova_id_from_name:
 * @name: of a guest
 *
 * Returns: (transfer full): a UUID (RFC 4122, version 5) that belongs to @name
 */
char *
nova_id_from_name (const char *name)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA1);
  guint8 digest[20];
  gsize length = sizeof digest;
  GString *id = g_string_new (NULL);

  g_checksum_update (checksum, namespace, sizeof namespace);
  g_checksum_update (checksum, (const guchar *) name, -1);
  g_checksum_get_digest (checksum, digest, &length);
  digest[6] = (guint8) ((digest[6] & 0x0f) | 0x50);
  digest[8] = (guint8) ((digest[8] & 0x3f) | 0x80);

  for (guint i = 0; i < 16; i++)
    g_string_append_printf (id, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
                            (guint) digest[i]);
  return g_string_free (id, FALSE);
}

/**
 * nova_time:
 * @seconds: since 1970; 0 when that is not known
 *
 * Returns: (transfer full) (nullable): the time as Nova writes it
 */
char *
nova_time (gint64 seconds)
{
  g_autoptr (GDateTime) time = seconds > 0 ? g_date_time_new_from_unix_utc (seconds) : NULL;

  return time != NULL ? g_date_time_format (time, "%Y-%m-%dT%H:%M:%SZ") : NULL;
}

/**
 * nova_set_text:
 * @object: an object
 * @member: one of its members
 * @text: (nullable): its value; need not be UTF-8, but JSON must
 */
void
nova_set_text (JsonObject *object,
               const char *member,
               const char *text)
{
  g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;

  if (valid != NULL)
    json_object_set_string_member (object, member, valid);
  else
    json_object_set_null_member (object, member);
}
