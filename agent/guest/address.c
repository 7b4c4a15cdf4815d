/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the forms of what a caller may say of a guest: addresses, ids, UUIDs. */

#include "address.h"

#include <core/error.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <sys/un.h>

#define ID_LENGTH_MAX 64

/**
 * address_is_path:
 * @text: an address
 *
 * Returns: whether @text names a Unix socket and not HOST:PORT
 */
gboolean
address_is_path (const char *text)
{
  return g_path_is_absolute (text);
}

/**
 * address_parse:
 * @text: absolute path of a Unix socket, or HOST:PORT
 * @error: return location
 *
 * Returns: (transfer full): what to connect to; on error %NULL with AGENT_ERROR_INVALID
 */
GSocketConnectable *
address_parse (const char  *text,
               GError     **error)
{
  g_autoptr (GSocketConnectable) host = NULL;

  if (address_is_path (text))
    {
      if (strlen (text) >= sizeof ((struct sockaddr_un *) NULL)->sun_path)
        {
          agent_set_error (
              error, AGENT_ERROR_INVALID,
              "Put the socket where its path is shorter, or name a symbolic link to its folder.",
              "the path of socket %s is too long for the kernel (%zu bytes, at most %zu)", text,
              strlen (text), sizeof ((struct sockaddr_un *) NULL)->sun_path - 1);
          return NULL;
        }

      return G_SOCKET_CONNECTABLE (g_unix_socket_address_new (text));
    }

  /* Without a port of its own the address would mean one that we chose. */
  if (strchr (text, '/') == NULL && strchr (text, ':') != NULL)
    host = g_network_address_parse (text, 0, NULL);

  if (host == NULL || g_network_address_get_port (G_NETWORK_ADDRESS (host)) == 0)
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "Give the absolute path of a Unix socket, or HOST:PORT.",
                       "\"%s\" is no address of a monitor", text);
      return NULL;
    }

  return g_steal_pointer (&host);
}

/**
 * address_normalize:
 * @text: an address
 *
 * Returns: (transfer full): the one way to write @text, so that equal addresses are equal strings
 */
char *
address_normalize (const char *text)
{
  /* A path that begins with two slashes may be kept so, by POSIX; Linux knows no difference. */
  if (address_is_path (text))
    {
      while (text[1] == '/')
        text++;
      return g_canonicalize_filename (text, NULL);
    }

  return g_ascii_strdown (text, -1);
}

/**
 * address_guess_id:
 * @text: an address
 *
 * Returns: (transfer full): what to call a guest there that has told no name: the file name without
 *   its extension, made a good id
 */
char *
address_guess_id (const char *text)
{
  g_autofree char *base = g_path_get_basename (text);
  char *dot = address_is_path (text) ? strrchr (base, '.') : NULL;
  g_autofree char *id = NULL;

  if (dot != NULL && dot != base)
    *dot = '\0';

  id = g_strndup (base, ID_LENGTH_MAX);
  g_strcanon (id, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-", '-');

  return guest_id_is_good (id) ? g_steal_pointer (&id) : g_strdup ("guest");
}

/**
 * guest_id_is_good:
 * @id: (nullable): a word
 *
 * Returns: whether @id can name a guest in a URL, a file name and a line of text alike: 1 to 64 of
 *   A-Z a-z 0-9 . _ - and a letter or digit first
 */
gboolean
guest_id_is_good (const char *id)
{
  static const char good[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-";

  return id != NULL && g_ascii_isalnum (id[0]) && strlen (id) <= ID_LENGTH_MAX &&
         id[strspn (id, good)] == '\0';
}

/**
 * guest_config_check:
 * @config: what a caller wants attached
 * @error: return location
 *
 * Returns: whether a guest can be made of @config; if not, AGENT_ERROR_INVALID says why
 */
gboolean
guest_config_check (const GuestConfig  *config,
                    GError            **error)
{
  g_autoptr (GSocketConnectable) address = NULL;

  if (config->monitor == NULL || config->monitor[0] == '\0')
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "Give the absolute path of its QMP socket, or HOST:PORT.",
                       "a guest needs a monitor");
      return FALSE;
    }

  address = address_parse (config->monitor, error);
  if (address == NULL)
    return FALSE;

  if (config->id != NULL && !guest_id_is_good (config->id))
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "Use 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit.",
                       "\"%s\" is no id of a guest", config->id);
      return FALSE;
    }

  if (config->uuid != NULL && !g_uuid_string_is_valid (config->uuid))
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "Give it as QEMU's -uuid has it: 8-4-4-4-12 hexadecimal digits.",
                       "\"%s\" is no UUID", config->uuid);
      return FALSE;
    }

  if (config->agent != NULL)
    {
      g_autoptr (GSocketConnectable) agent = NULL;

      if (!address_is_path (config->agent))
        {
          agent_set_error (error, AGENT_ERROR_INVALID, "Give its absolute path.",
                           "the guest agent's socket \"%s\" is no absolute path", config->agent);
          return FALSE;
        }

      agent = address_parse (config->agent, error);
      if (agent == NULL)
        return FALSE;

      if (g_strcmp0 (config->agent, config->monitor) == 0)
        {
          agent_set_error (error, AGENT_ERROR_INVALID,
                           "QEMU's monitor and the guest agent have a socket each.",
                           "monitor and agent are the same socket %s", config->monitor);
          return FALSE;
        }
    }

  if (config->overlay_folder != NULL && !g_path_is_absolute (config->overlay_folder))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "Give its absolute path.",
                       "the folder for overlays \"%s\" is no absolute path",
                       config->overlay_folder);
      return FALSE;
    }

  if (config->max_chain_length < -1 || config->max_chain_length > CHAIN_LONGEST)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "0 lets chains grow.",
                       "a chain may be allowed 0 to %d layers, not %d", CHAIN_LONGEST,
                       config->max_chain_length);
      return FALSE;
    }

  return TRUE;
}
